class Downhaul < Formula
  desc "Parallel file downloader that resumes and verifies"
  homepage "https://github.com/downhaul/downhaul"
  url "@url@/downhaul-@version@.tar.gz"
  sha256 "@sha256:downhaul-@version@.tar.gz@"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args(path: "crates/cli")
    generate_completions_from_executable(bin/"downhaul", "completions")
    (man1/"downhaul.1").write Utils.safe_popen_read(bin/"downhaul", "man")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/downhaul --version")
    (testpath/"a.txt").write "a"
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    (testpath/"SHA256SUMS").write "#{digest}  a.txt\n"
    system bin/"downhaul", "verify", "SHA256SUMS"
  end
end
