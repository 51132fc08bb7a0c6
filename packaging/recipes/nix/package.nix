# Use this file with `pkgs.callPackage ./package.nix { }`. Cargo.lock of the release must be beside
# it.
{
  lib,
  stdenv,
  rustPlatform,
  fetchurl,
  installShellFiles,
}:

rustPlatform.buildRustPackage rec {
  pname = "downhaul";
  version = "@version@";

  src = fetchurl {
    url = "@url@/downhaul-${version}.tar.gz";
    sha256 = "@sha256:downhaul-@version@.tar.gz@";
  };
  cargoLock.lockFile = ./Cargo.lock;
  cargoBuildFlags = [ "--package" "downhaul" ];
  # Many tests start servers and take minutes.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  # If the program is built for another system, it cannot run here to write its own man page.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    $out/bin/downhaul man > downhaul.1
    installManPage downhaul.1
    installShellCompletion --cmd downhaul \
      --bash <($out/bin/downhaul completions bash) \
      --fish <($out/bin/downhaul completions fish) \
      --zsh <($out/bin/downhaul completions zsh)
  '';

  meta = {
    description = "Parallel file downloader that resumes and verifies";
    homepage = "https://github.com/downhaul/downhaul";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "downhaul";
  };
}
