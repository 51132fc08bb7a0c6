"""The scenes of `benches/race`: files, servers, lines, and the command of each tool.

Owns the folder that it is given (in /dev/shm) and the ports 18481 to 18483. Each process that is started is returned to the
caller, which stops it.
"""
import dataclasses, functools, hashlib, os, subprocess, time, typing

PLAIN, SECURE, CAPPED = 18481, 18482, 18483
LARGE, SMALL, SMALL_SIZE = 1 << 30, 10_000, 10 * 1024
# 2.9 s on a line of 300 Mbit/s, so that TCP's slow start is only a small part of the time.
WIDE = 100 << 20
# After this many seconds a tool is stopped and not run again in the scene. The slowest case, one connection over a line that
# loses 0.1 %, takes about 100 s; a million files take minutes.
LONGEST, LONGEST_MILLION = 300, 1800
# The highest number of seconds that a server may need to start. It usually needs less than one second.
STARTS = 10


@dataclasses.dataclass
class Scene:
    """Each command runs in an empty folder. If the command ends with `> NAME`, its standard output goes to the file NAME in this folder."""

    title: str
    tools: dict[str, list[str]]
    # Returns True if a folder has the right result.
    right: typing.Callable[[str], bool]
    files: int = 1
    # The arguments of `link`: Mbit/s, round trip in ms, loss in percent.
    line: tuple[str, str, str] | None = None
    # `disk`: also run with the output on a disk. `warm`: a first run only warms up.
    disk: bool = False
    warm: bool = True
    longest: int = LONGEST


class Stage:
    def __init__(self, work, programs, million):
        self.work, self.programs, self.million = work, programs, million

    def prepare(self):
        """Makes the files, a certificate, and the lists."""
        work = self.work
        os.chmod(work, 0o755)
        os.makedirs(f"{work}/www/s")
        digest = hashlib.sha256()
        with open(f"{work}/www/large", "wb") as large:
            for _ in range(LARGE >> 20):
                some = os.urandom(1 << 20)
                digest.update(some)
                large.write(some)
        self.digest = digest.hexdigest()
        with open(f"{work}/www/wide", "wb") as wide:
            for _ in range(WIDE >> 20):
                wide.write(os.urandom(1 << 20))
        # This is text because it is also part of nginx's configuration.
        self.kib = os.urandom(512).hex()
        with open(f"{work}/www/1k", "w") as tiny:
            tiny.write(self.kib)
        for n in range(SMALL):
            with open(f"{work}/www/s/{n}.bin", "wb") as small:
                small.write(os.urandom(SMALL_SIZE))
        with open(f"{work}/san", "w") as names:
            names.write("subjectAltName=DNS:localhost\n")
        for command in (
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=race",
            "req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=localhost",
            "x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out cert.pem",
        ):
            subprocess.run(["openssl", *command.split()], check=True, capture_output=True, cwd=work)
        for name, base in (("plain", f"http://127.0.0.1:{PLAIN}"), ("tls", f"https://localhost:{SECURE}")):
            with open(f"{work}/{name}.list", "w") as urls, open(f"{work}/{name}.curl", "w") as config:
                for n in range(SMALL):
                    urls.write(f"{base}/s/{n}.bin\n")
                    config.write(f'url = "{base}/s/{n}.bin"\nremote-name\n')
        with open(f"{work}/million.list", "w") as urls:
            urls.writelines(f"http://127.0.0.1:{PLAIN}/m/{n}.bin\n" for n in range(self.million))

    def start(self):
        """Starts the servers on loopback."""
        work = self.work
        headers = f"location /sum/ {{ alias {work}/www/; add_header X-Checksum-SHA256 {self.digest}; }}"
        secure = f"ssl_certificate {work}/cert.pem; ssl_certificate_key {work}/key.pem;"
        nginx = self.nginx(
            "loopback",
            f"""server {{ listen 127.0.0.1:{PLAIN}; {headers} location /m/ {{ return 200 {self.kib}; }} }}
  server {{ listen 127.0.0.1:{SECURE} ssl; {secure} }}""",
        )
        capped = subprocess.Popen([f"{self.programs}/examples/server", str(CAPPED), "43200"], stdout=subprocess.DEVNULL)
        return [nginx, capped]

    def nginx(self, name, servers, prefix=()):
        work = self.work
        temporary = "".join(f"{kind}_temp_path {work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{work}/{name}.conf", "w") as config:
            config.write(f"""
user root; daemon off; worker_processes 1; pid {work}/{name}.pid; error_log {work}/{name}.log;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; keepalive_requests 100000; {temporary} root {work}/www;
  default_type application/octet-stream;
  {servers} }}""")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*prefix, "nginx", "-p", work, "-c", f"{work}/{name}.conf"], **quiet)
        # nginx writes this file when it listens.
        within(STARTS, lambda: os.path.exists(f"{work}/{name}.pid"), f"nginx did not start; see {work}/{name}.log")
        return process

    def scenes(self):
        """Returns the scenes by name."""
        work = self.work
        cert = f"{work}/ca.pem"
        downhaul = [f"{self.programs}/downhaul", "-q", "--log", "none", "--cacert", cert]
        minimal = f"{self.programs}/examples/minimal"
        http, https, capped = f"http://127.0.0.1:{PLAIN}", f"https://localhost:{SECURE}", f"http://127.0.0.1:{CAPPED}"

        def one(url, out="out"):
            return {
                "downhaul": [*downhaul, url, "-o", out],
                "curl": ["curl", "-s", "--cacert", cert, "-o", out, url],
                "wget2": ["wget2", "-q", f"--ca-certificate={cert}", "-O", out, url],
                "aria2 -x8": ["aria2c", "-q", f"--ca-certificate={cert}", "-x8", "-s8", "-k1M", "-o", out, url],
                "aria2 -x16": ["aria2c", "-q", f"--ca-certificate={cert}", "-x16", "-s16", "-k1M", "-o", out, url],
                "axel -n16": ["axel", "-q", "-k", "-n16", "-o", out, url],
            }

        def many(name):
            return {
                "downhaul -j auto": [*downhaul, "-i", f"{work}/{name}.list", "-j", "auto"],
                "curl -Z": ["curl", "-s", "--cacert", cert, "-Z", "--parallel-max", "16", "-K", f"{work}/{name}.curl"],
                "wget2": ["wget2", "-q", f"--ca-certificate={cert}", "--max-threads=16", "-i", f"{work}/{name}.list"],
                "aria2 -j16": ["aria2c", "-q", f"--ca-certificate={cert}", "-j16", "-i", f"{work}/{name}.list"],
            }

        def out(name):
            return lambda folder: same(f"{folder}/out", f"{work}/www/{name}")

        def small(folder):
            return all(same(f"{folder}/{n}.bin", f"{work}/www/s/{n}.bin") for n in range(SMALL))

        def million(folder):
            kib = self.kib.encode()
            return all(holds(f"{folder}/{n}.bin", kib) for n in range(self.million))

        def sized(size):
            return lambda folder: os.path.exists(f"{folder}/out") and os.path.getsize(f"{folder}/out") == size

        limit = {"minimal loop": [minimal, f"127.0.0.1:{PLAIN}", "/large", "out"]}
        # On two cores, four at once are the fastest.
        limit_of_files = {"minimal loop, 4 at once": [f"{self.programs}/examples/minimal_files", f"127.0.0.1:{PLAIN}", "4", "/s", str(SMALL)]}
        hashing = {"minimal loop, hashing": [minimal, f"127.0.0.1:{PLAIN}", "/large", "out", "sha256"]}
        with_sum = {"downhaul": one(f"{http}/sum/large")["downhaul"]}
        # Tools with one connection are left out: they all take 42 s.
        several = one(f"{capped}/capped/209715200/file?rate=5000000")
        several = {name: command for name, command in several.items() if name not in ("curl", "wget2")}
        refusing = one(f"{capped}/refuses_the_fifth/40000000/file?rate=2000000&how=503")["downhaul"]
        wide = {"tools": one(f"http://{FAR}:{PLAIN}/wide"), "right": out("wide"), "warm": False}
        # The log and the events are on, because they could fill the memory. curl and aria2 are left out: they keep the whole
        # list in memory.
        list_of_all = ["-i", f"{work}/million.list"]
        events = ["--log", "log", "--progress", "json", ">", "events"]
        endless = {
            "downhaul -j auto": [f"{self.programs}/downhaul", *list_of_all, "-j", "auto", *events],
            "wget2": ["wget2", "-q", "--max-threads=16", *list_of_all],
        }
        return {
            "large": Scene("1 GiB, plain", {**one(f"{http}/large"), **limit}, out("large"), disk=True),
            "large-tls": Scene("1 GiB, TLS", one(f"{https}/large"), out("large"), disk=True),
            "large-sha256": Scene("1 GiB, SHA-256 from a header", {**with_sum, **hashing}, out("large"), disk=True),
            "small": Scene("10,000 files of 10 KiB, plain", {**many("plain"), **limit_of_files}, small, files=SMALL, disk=True),
            "small-tls": Scene("10,000 files of 10 KiB, TLS", many("tls"), small, files=SMALL, disk=True),
            "capped": Scene("200 MiB at 5 MB/s a connection", several, sized(209715200)),
            "refusing": Scene(
                "40 MB at 2 MB/s a connection, the fifth is refused",
                {"downhaul": refusing, "downhaul -x4": [*refusing, "-x4"]},
                sized(40000000),
            ),
            "tiny": Scene("one file of 1 KiB", one(f"{http}/1k"), out("1k")),
            "wide": Scene("100 MiB, 300 Mbit/s, 40 ms, no loss", **wide, line=("300", "40", "0")),
            "wide-0.1": Scene("100 MiB, 300 Mbit/s, 80 ms, 0.1 % loss", **wide, line=("300", "80", "0.1")),
            "wide-1": Scene("100 MiB, 300 Mbit/s, 80 ms, 1 % loss", **wide, line=("300", "80", "1")),
            "million": Scene(
                f"{self.million:,} files of 1 KiB, plain, with log and events",
                endless,
                million,
                files=self.million,
                warm=False,
                longest=LONGEST_MILLION,
            ),
        }


# The address that `link` gives to the far end.
FAR = "10.77.0.1"


class Line:
    """The line of a scene, with a server at its far end. `with` gives the prefix that runs a command at the near end."""

    def __init__(self, stage, line):
        self.stage, self.line, self.started = stage, line, []

    def __enter__(self):
        if self.line is None:
            return []
        try:
            program = f"{self.stage.programs}/link"
            # The queue is 100 ms. The limit of 12 hours only makes sure that the line ends even if this program cannot end it.
            link = subprocess.Popen([program, *self.line, "100", "43200"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.started.append(link)
            near, far = ([f"--net={link.stdout.readline().split()[2]}"] for _ in range(2))
            self.started.append(self.stage.nginx("far", f"server {{ listen {PLAIN}; }}", ["nsenter", *far]))
            return ["nsenter", *near]
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        end(reversed(self.started))


def end(processes):
    for process in processes:
        process.terminate()
        process.wait()


def within(seconds, true, otherwise):
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise SystemExit(otherwise)
        time.sleep(0.02)


def same(one, other):
    """Returns True if two files have the same content."""
    if not os.path.exists(one) or os.path.getsize(one) != os.path.getsize(other):
        return False
    with open(one, "rb") as a, open(other, "rb") as b:
        return all(some == b.read(1 << 20) for some in iter(functools.partial(a.read, 1 << 20), b""))


def holds(path, content):
    """Returns True if a small file has this content. Python's buffers are not used, because there are a million files."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return os.read(file, len(content) + 1) == content
    finally:
        os.close(file)
