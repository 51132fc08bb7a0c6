"""The scenes of `benches/race`: files, servers, lines, and the command of each tool.

A stage uses the folder that it is given (in /dev/shm) and the ports 18481 to 18483. No other program
may use them at the same time. The stage returns each process that it starts, and the caller stops the
process.
"""
import dataclasses, functools, hashlib, os, subprocess, time, typing

PLAIN, SECURE, CAPPED = 18481, 18482, 18483
# The address that `link` gives to the far end.
FAR = "10.77.0.1"
HTTP, HTTPS, HTTP_FAR = f"http://127.0.0.1:{PLAIN}", f"https://localhost:{SECURE}", f"http://{FAR}:{PLAIN}"
LARGE = 1 << 30
SMALL, SMALL_SIZE = 10_000, 10 * 1024
MIDDLE, MIDDLE_SIZE = 1_000, 1 << 20
# The fixed numbers of files at a time that are compared with `-j auto`. Numbers up to 8 are left out
# on a line with a round trip of 40 ms, because even 8 files at a time would take 50 s.
FIXED, FIXED_FAR = (1, 2, 4, 8, 16, 32, 64), (16, 32, 64, 128)
# The number of unanswered requests of the reference. On loopback, a higher number is not faster. On
# the line, 128 requests for 10 KiB are 1.25 MiB, almost the 1.4 MiB that are in flight at 300
# Mbit/s and 40 ms.
AT_ONCE, AT_ONCE_FAR = 8, 128
# The size of the file for the wide-area lines. It takes 2.9 s at 300 Mbit/s, so the slow start of
# TCP is only a small part of the time.
WIDE = 100 << 20
# After this many seconds, a tool is stopped and not run again in the scene. One connection over a
# line that loses 0.1 % of the packets takes about 100 s. A million files take minutes.
LONGEST, LONGEST_MILLION = 300, 1800
# The highest number of seconds that a server may need to start. It usually needs less than one second.
STARTS = 10


@dataclasses.dataclass
class Scene:
    """A scene. Each command runs in an empty folder. If the command ends with `> NAME`, its
    standard output goes to the file NAME in this folder."""

    title: str
    tools: dict[str, list[str]]
    # Returns True if a folder has the right result.
    right: typing.Callable[[str], bool]
    files: int = 1
    # The arguments of `link`: Mbit/s, round trip in ms, loss in percent.
    line: tuple[str, str, str] | None = None
    # `disk`: the commands also run with the output on a disk. `counted`: one more run counts system
    # calls. `warm`: a first run only warms up.
    disk: bool = False
    counted: bool = False
    warm: bool = True
    longest: int = LONGEST


class Stage:
    def __init__(self, work, programs, million):
        self.work, self.programs, self.million = work, programs, million

    def prepare(self):
        """Makes the files, a certificate, and the lists."""
        work = self.work
        os.chmod(work, 0o755)
        os.makedirs(f"{work}/www")
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
        # This is a text and not bytes, because it is also a part of the configuration of nginx.
        self.kib = os.urandom(512).hex()
        with open(f"{work}/www/1k", "w") as tiny:
            tiny.write(self.kib)
        for folder, count, size in (("small", SMALL, SMALL_SIZE), ("middle", MIDDLE, MIDDLE_SIZE)):
            os.makedirs(f"{work}/www/{folder}")
            for n in range(count):
                with open(f"{work}/www/{folder}/{n}.bin", "wb") as file:
                    file.write(os.urandom(size))
            # Each list has the name of its scene.
            for server, base in (("", HTTP), ("-tls", HTTPS), ("-far", HTTP_FAR)):
                self.list(f"{folder}{server}", [f"{base}/{folder}/{n}.bin" for n in range(count)])
        with open(f"{work}/san", "w") as names:
            names.write("subjectAltName=DNS:localhost\n")
        for command in (
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=race",
            "req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=localhost",
            "x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out cert.pem",
        ):
            subprocess.run(["openssl", *command.split()], check=True, capture_output=True, cwd=work)
        with open(f"{work}/million.list", "w") as urls:
            urls.writelines(f"{HTTP}/m/{n}.bin\n" for n in range(self.million))

    def list(self, name, urls):
        """Writes a list of URLs, and the same list as a configuration of curl."""
        with open(f"{self.work}/{name}.list", "w") as plain, open(f"{self.work}/{name}.curl", "w") as curl:
            plain.writelines(f"{url}\n" for url in urls)
            curl.writelines(f'url = "{url}"\nremote-name\n' for url in urls)

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
http {{ access_log off; sendfile on; keepalive_requests 10000000; {temporary} root {work}/www;
  default_type application/octet-stream;
  {servers} }}""")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*prefix, "nginx", "-p", work, "-c", f"{work}/{name}.conf"], **quiet)
        # nginx writes this file when it has opened its ports.
        within(STARTS, lambda: os.path.exists(f"{work}/{name}.pid"), f"nginx did not start; see {work}/{name}.log")
        return process

    def scenes(self):
        """Returns the scenes by name."""
        return {**self.of_one_file(), **self.of_many_files(), **self.of_auto(), **self.of_a_million()}

    def of_one_file(self):
        capped = f"http://127.0.0.1:{CAPPED}"
        minimal = [f"{self.programs}/examples/minimal", f"127.0.0.1:{PLAIN}", "/large", "out"]
        # There is a reference with one connection, and a reference with as many connections as
        # there are cores, because each connection has a thread.
        cores = os.cpu_count()
        references = {f"reference, {n} connection{'s' * (n > 1)}": [*minimal, str(n)] for n in sorted({1, cores})}
        with_sum = {"downhaul": self.one(f"{HTTP}/sum/large")["downhaul"]}
        # Tools with one connection are left out, because all of them take 42 s.
        several = self.one(f"{capped}/capped/209715200/file?rate=5000000")
        several = {name: command for name, command in several.items() if name not in ("curl", "wget2")}
        refusing = self.one(f"{capped}/refuses_the_fifth/40000000/file?rate=2000000&how=503")["downhaul"]
        large = self.is_file("large")
        wide = {"tools": self.one(f"{HTTP_FAR}/wide"), "right": self.is_file("wide"), "warm": False}
        return {
            "large": Scene("1 GiB, plain", {**self.one(f"{HTTP}/large"), **references}, large, disk=True),
            "large-tls": Scene("1 GiB, TLS", self.one(f"{HTTPS}/large"), large, disk=True),
            "large-sha256": Scene(
                "1 GiB, SHA-256 from a header", {**with_sum, "reference, hashing": [*minimal, "1", "sha256"]}, large, disk=True
            ),
            "capped": Scene("200 MiB at 5 MB/s a connection", several, is_of_size(209715200)),
            "refusing": Scene(
                "40 MB at 2 MB/s a connection, the fifth is refused",
                {"downhaul": refusing, "downhaul -x4": [*refusing, "-x4"]},
                is_of_size(40000000),
            ),
            "tiny": Scene("one file of 1 KiB", self.one(f"{HTTP}/1k"), self.is_file("1k")),
            "wide": Scene("100 MiB, 300 Mbit/s, 40 ms, no loss", **wide, line=("300", "40", "0")),
            "wide-0.1": Scene("100 MiB, 300 Mbit/s, 80 ms, 0.1 % loss", **wide, line=("300", "80", "0.1")),
            "wide-1": Scene("100 MiB, 300 Mbit/s, 80 ms, 1 % loss", **wide, line=("300", "80", "1")),
        }

    def of_many_files(self):
        def tools(name):
            ca = f"{self.work}/ca.pem"
            curl = ["curl", "-s", "--cacert", ca, "-Z", "-K", f"{self.work}/{name}.curl", "--parallel-max"]
            return {
                "downhaul -j auto": self.listed(name, "auto"),
                "downhaul -j 8": self.listed(name, 8),
                "curl -Z8": [*curl, "8"],
                "curl -Z50": [*curl, "50"],
                "wget2 -8": ["wget2", "-q", f"--ca-certificate={ca}", "--max-threads=8", "-i", f"{self.work}/{name}.list"],
                "aria2 -j16": ["aria2c", "-q", f"--ca-certificate={ca}", "-j16", "-i", f"{self.work}/{name}.list"],
            }

        def reference(host, at_once, folder, count):
            program = f"{self.programs}/examples/minimal_files"
            return {f"reference, {at_once} at once": [program, f"{host}:{PLAIN}", str(at_once), f"/{folder}", str(count)]}

        small = {"right": self.are_files("small", SMALL), "files": SMALL}
        middle = {"right": self.are_files("middle", MIDDLE), "files": MIDDLE}
        plain_small = {**tools("small"), **reference("127.0.0.1", AT_ONCE, "small", SMALL)}
        plain_middle = {**tools("middle"), **reference("127.0.0.1", AT_ONCE, "middle", MIDDLE)}
        far = {**tools("small-far"), **reference(FAR, AT_ONCE_FAR, "small", SMALL)}
        return {
            "small": Scene("10,000 files of 10 KiB, plain", plain_small, **small, disk=True, counted=True),
            "small-tls": Scene("10,000 files of 10 KiB, TLS", tools("small-tls"), **small, disk=True, counted=True),
            "small-far": Scene("10,000 files of 10 KiB, 300 Mbit/s, 40 ms", far, **small, warm=False, line=("300", "40", "0")),
            "middle": Scene("1,000 files of 1 MiB, plain", plain_middle, **middle, counted=True),
            "middle-tls": Scene("1,000 files of 1 MiB, TLS", tools("middle-tls"), **middle, counted=True),
        }

    def of_auto(self):
        """Returns, for each scene of `of_many_files`, a scene that compares `-j auto` with fixed numbers."""
        return {
            f"auto-{name}": dataclasses.replace(
                scene,
                title=f"{scene.title}, -j auto and fixed numbers",
                tools={
                    f"downhaul -j {number}": self.listed(name, number)
                    for number in ("auto", *(FIXED_FAR if scene.line else FIXED))
                },
                disk=False,
                counted=False,
            )
            for name, scene in self.of_many_files().items()
        }

    def of_a_million(self):
        # The log and the events are turned on, because they could fill the memory. curl and aria2
        # are left out, because they keep the whole list in memory.
        list_of_all = ["-i", f"{self.work}/million.list"]
        events = ["--log", "log", "--progress", "json", ">", "events"]
        endless = {
            "downhaul -j auto": [f"{self.programs}/downhaul", *list_of_all, "-j", "auto", *events],
            "wget2": ["wget2", "-q", "--max-threads=16", *list_of_all],
            f"reference, {AT_ONCE} at once": [
                f"{self.programs}/examples/minimal_files",
                f"127.0.0.1:{PLAIN}",
                str(AT_ONCE),
                "/m",
                str(self.million),
            ],
        }

        def right(folder):
            kib = self.kib.encode()
            return all(holds(f"{folder}/{n}.bin", kib) for n in range(self.million))

        title = f"{self.million:,} files of 1 KiB, plain, with log and events"
        return {"million": Scene(title, endless, right, files=self.million, warm=False, longest=LONGEST_MILLION)}

    def downhaul(self, *options):
        return [f"{self.programs}/downhaul", "-q", "--log", "none", "--cacert", f"{self.work}/ca.pem", *options]

    def listed(self, name, number):
        """Returns the command of downhaul for a list, with `number` files at a time."""
        return self.downhaul("-i", f"{self.work}/{name}.list", "-j", str(number))

    def one(self, url):
        """Returns the commands for one file that gets the name `out`."""
        ca = f"{self.work}/ca.pem"
        return {
            "downhaul": self.downhaul(url, "-o", "out"),
            "curl": ["curl", "-s", "--cacert", ca, "-o", "out", url],
            "wget2": ["wget2", "-q", f"--ca-certificate={ca}", "-O", "out", url],
            "aria2 -x8": ["aria2c", "-q", f"--ca-certificate={ca}", "-x8", "-s8", "-k1M", "-o", "out", url],
            "aria2 -x16": ["aria2c", "-q", f"--ca-certificate={ca}", "-x16", "-s16", "-k1M", "-o", "out", url],
            "axel -n16": ["axel", "-q", "-k", "-n16", "-o", "out", url],
        }

    def is_file(self, name):
        return lambda folder: same(f"{folder}/out", f"{self.work}/www/{name}")

    def are_files(self, name, count):
        return lambda folder: all(same(f"{folder}/{n}.bin", f"{self.work}/www/{name}/{n}.bin") for n in range(count))


class Line:
    """The line of a scene, with a server at its far end. The value of `with` is the prefix that
    runs a command at the near end."""

    def __init__(self, stage, line):
        self.stage, self.line, self.started = stage, line, []

    def __enter__(self):
        if self.line is None:
            return []
        try:
            program = f"{self.stage.programs}/link"
            # The queue holds 100 ms of traffic. The limit of 12 hours only ensures that the line
            # ends even if this program cannot end it.
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


def is_of_size(size):
    return lambda folder: os.path.exists(f"{folder}/out") and os.path.getsize(f"{folder}/out") == size


def holds(path, content):
    """Returns True if a small file has this content. The function does not use the buffers of
    Python, which would be slow for a million files."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return os.read(file, len(content) + 1) == content
    finally:
        os.close(file)
