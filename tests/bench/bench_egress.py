#!/usr/bin/python3
"""bench_egress.py - the way out beside what one would use instead: nginx, mitmproxy, squid

One load generator and one origin (bench_egress.c) for all, on one CPU; the proxy that is measured on
another, all of its processes together: so everyone has one core. Rounds are short and interleaved, and what is
compared is compared within a round. The rate of a proxy is its requests per second of CPU time that
its processes used (on a host with nothing else to do: per second), so that other work on the host
hardly shows; the rate by the wall clock is in the figure as "wall".

The front's records go to a daemon that is played, which counts them. nginx and squid write no log here.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("SBX_TEST_BUILD", HERE.parent.parent / "build"))
CERTGEN = "/usr/lib/squid/security_file_certgen"
NAMES = 2048
BULK = 256 << 20

NGINX = """
worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log; daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 1000000000; tcp_nodelay on;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=1024;
    server_name bench.test *.bench.test;
    ssl_certificate {dir}/leaf.pem; ssl_certificate_key {dir}/leaf.key; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      proxy_pass https://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_request_buffering off; proxy_max_temp_file_size 0;
      proxy_ssl_verify on; proxy_ssl_trusted_certificate {dir}/ca.pem; proxy_ssl_name bench.test;
      proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }}
  }}
}}
"""

SQUID = """
http_port 127.0.0.1:{port} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB \
tls-cert={dir}/both.pem
sslcrtd_program {certgen} -s {dir}/squid-certs -M 4MB
sslcrtd_children 4 startup=1 idle=1
acl first at_step SslBump1
ssl_bump peek first
ssl_bump bump all
http_access allow all
cache deny all
cache_mem 0
access_log none
cache_store_log none
cache_log {dir}/squid.log
pid_filename {dir}/squid.pid
coredump_dir {dir}
hosts_file {dir}/hosts
tls_outgoing_options cafile={dir}/ca.pem
via off
forwarded_for delete
shutdown_lifetime 0 seconds
max_filedescriptors 8192
visible_hostname bench
"""


class Failed(Exception):
    """A proxy or the load generator did not do its part."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, child, name):
    for _ in range(300):
        if child.poll() is not None:
            raise Failed(f"{name} ended with {child.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise Failed(f"{name} does not listen")


def tree(pid):
    """The process and those below it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += tree(int(child))
        except OSError:
            pass
    return found


def memory_mib(pids):
    """(PSS, RSS) of the processes in MiB."""
    pss = rss = 0
    for pid in {p for root in pids for p in tree(root)}:
        try:
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                pss += int(line.split()[1]) if line.startswith("Pss:") else 0
                rss += int(line.split()[1]) if line.startswith("Rss:") else 0
        except OSError:
            pass
    return pss / 1024, rss / 1024


def make_certificates(where):
    def openssl(*args):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        *args], cwd=where, check=True, stderr=subprocess.DEVNULL)

    openssl("-keyout", "ca.key", "-out", "ca.pem", "-days", "3", "-subj", "/CN=bench CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("-keyout", "leaf.key", "-out", "leaf.pem", "-days", "2", "-subj", "/CN=bench.test", "-CA", "ca.pem",
            "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "subjectAltName=DNS:bench.test,DNS:*.bench.test")
    (where / "both.pem").write_bytes((where / "ca.key").read_bytes() + (where / "ca.pem").read_bytes())


class Rig:
    """Origin, load generator, front and vault, and the proxies that are there."""

    def __init__(self, only=()):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sbx-bench-"))
        self.dir.chmod(0o755)
        self.children = []
        self.proxies = {}
        cpus = sorted(os.sched_getaffinity(0))
        self.load_cpu, self.cpu = cpus[0], cpus[-1]
        try:
            self.start(only)
        except BaseException:
            self.close()
            raise

    def start(self, only):
        (self.dir / "box").mkdir()
        make_certificates(self.dir)
        programs = [BUILD / "src/sbx-front", BUILD / "tests/bench/bench_vault"]
        self.harness = self.spawn([BUILD / "tests/bench/bench_egress", "leaf.pem", "leaf.key", "ca.pem", "box",
                                   *programs, str(self.cpu)], self.load_cpu, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=None, text=True)
        first = self.answer()
        self.origin = first["origin"]
        self.proxies["direct"] = {"way": "tls", "port": self.origin, "pids": []}
        self.proxies["sbx"] = {"way": "stream", "port": 0, "pids": [first["front"], first["vault"]]}
        for name, start in (("nginx", self.start_nginx), ("mitmproxy", self.start_mitmproxy),
                            ("squid", self.start_squid)):
            if only and name not in only:
                continue
            port = free_port()
            try:
                child, way = start(port)
                wait_port(port, child, name)
                self.proxies[name] = {"way": way, "port": port, "pids": [child.pid]}
            except (Failed, OSError) as fault:
                print(f"bench: {name} is left out: {fault}", file=sys.stderr)

    def spawn(self, argv, cpu, **more):
        more = {"stdout": subprocess.DEVNULL, "stderr": open(self.dir / "stderr", "ab"),  # noqa: SIM115
                "stdin": subprocess.DEVNULL, **more}
        child = subprocess.Popen([str(a) for a in argv], cwd=self.dir,
                                 preexec_fn=lambda: os.sched_setaffinity(0, {cpu}), **more)
        self.children.append(child)
        return child

    def start_nginx(self, port):
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX.format(dir=self.dir, port=port, origin=self.origin)
                        + ("" if os.geteuid() else f"user {self.owner()};\n"))
        return self.spawn([shutil.which("nginx") or "/usr/sbin/nginx", "-c", conf], self.cpu), "tls"

    @staticmethod
    def owner():
        return "root"

    def start_mitmproxy(self, port):
        return self.spawn(["mitmdump", "--mode", f"reverse:https://127.0.0.1:{self.origin}", "--listen-host",
                           "127.0.0.1", "--listen-port", str(port), "--quiet", "--set", f"confdir={self.dir}/mitm",
                           "--set", f"ssl_verify_upstream_trusted_ca={self.dir}/ca.pem", "--set", "keep_host_header=true",
                           "--set", "flow_detail=0", "--set", "upstream_cert=false", "--set", "stream_large_bodies=64k",
                           "--set", "connection_strategy=lazy"], self.cpu), "tls"

    def start_squid(self, port):
        conf = self.dir / "squid.conf"
        conf.write_text(SQUID.format(dir=self.dir, port=port, certgen=CERTGEN))
        names = ["bench.test", *(f"n{i}.bench.test" for i in range(NAMES))]
        (self.dir / "hosts").write_text("".join(f"127.0.0.1 {n}\n" for n in names))
        subprocess.run([CERTGEN, "-c", "-s", self.dir / "squid-certs", "-M", "4MB"], check=True,
                       stdout=subprocess.DEVNULL)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "proxy", self.dir / "squid-certs", self.dir / "both.pem", self.dir], check=True)
        return self.spawn([shutil.which("squid") or "/usr/sbin/squid", "-N", "-f", conf], self.cpu), "connect"

    def answer(self):
        line = self.harness.stdout.readline()
        if not line:
            raise Failed("the load generator ended")
        return json.loads(line)

    def ask(self, verb, **keys):
        pids = keys.pop("pids", [])
        words = [f"{k}={v}" for k, v in keys.items()] + [f"pid={p}" for p in pids]
        self.harness.stdin.write(" ".join([verb, *words]) + "\n")
        self.harness.stdin.flush()
        return self.answer()

    def run(self, name, **keys):
        p = self.proxies[name]
        keys.setdefault("warm", 0.4)
        got = self.ask("run", way=p["way"], port=p["port"], pids=p["pids"], **keys)
        if got["errors"]:
            print(f"bench: {name}: {got['errors']} errors, the first: {got['error']}", file=sys.stderr)
        return got

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def set_realtime(pids, on):
    """Latency is the programs' own when nothing else of the host gets in between; False: not permitted."""
    policy, rank = (os.SCHED_FIFO, 1) if on else (os.SCHED_OTHER, 0)
    try:
        for pid in {p for root in pids for p in tree(root)}:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setscheduler(int(thread), policy, os.sched_param(rank))
    except OSError:
        return False
    return True


class Bench:
    def __init__(self, rig, record, rounds, seconds, realtime=False):
        self.realtime = realtime
        self.rig, self.record, self.rounds, self.seconds = rig, record, rounds, seconds
        self.peak = {}

    def note_memory(self, name):
        pss, rss = memory_mib(self.rig.proxies[name]["pids"])
        self.peak[name] = max(self.peak.get(name, (0, 0)), (pss, rss))

    def compare(self, what, unit, value, wall, who, goals=(), **keys):
        """Rounds of all of @who in turn. @value(result): what is compared; @goals: (name, least ratio)."""
        got = {n: [] for n in who if n in self.rig.proxies}
        walls = {n: [] for n in got}
        broken = {}
        for _ in range(self.rounds):
            for name in [n for n in got if n not in broken]:
                one = self.rig.run(name, seconds=self.seconds, **keys)
                self.note_memory(name)
                if not wall(one):
                    broken[name] = one["error"] or "nothing came"
                    print(f"bench: {what}: {name} is left out: {broken[name]}", file=sys.stderr)
                    continue
                got[name].append(value(one))
                walls[name].append(wall(one))
        for name, values in got.items():
            if name not in broken:
                self.record(f"{what}: {name}", values, unit=unit, wall=round(median(walls[name]), 1))
        for name, least in goals:
            if name in got and name not in broken and "sbx" not in broken:
                ratios = [a / b for a, b in zip(got["sbx"], got[name])]
                self.record(f"{what}: sbx / {name}", ratios, unit="times", at_least=least)

    def requests(self):
        def per_cpu(r):
            return r["requests"] / (r["cpu"] or r["client_cpu"])

        def per_second(r):
            return r["requests"] / r["seconds"]

        for label, h2, shape in (("HTTP/1.1, 32 connections", 0, {"conns": 32}),
                                 ("HTTP/2, 4 connections of 16 streams", 1, {"conns": 4, "streams": 16})):
            self.compare(f"1 KiB requests, {label}", "per CPU second", per_cpu, per_second,
                         ["sbx", "nginx", "mitmproxy"] + ([] if h2 else ["squid"]),
                         goals=[("nginx", 0.8), ("mitmproxy", 10)], load="loop", h2=h2, bytes=1024, **shape)

    def latency(self):
        pids = [self.rig.harness.pid, *(p for n in ("sbx", "nginx", "squid") if n in self.rig.proxies
                                        for p in self.rig.proxies[n]["pids"])]
        realtime = set_realtime(pids, True)
        try:
            self.latencies(realtime)
        finally:
            set_realtime(pids, self.realtime)

    def latencies(self, realtime):
        for label, h2, shape in (("HTTP/1.1", 0, {"conns": 32}), ("HTTP/2", 1, {"conns": 4, "streams": 16})):
            added = {}
            names = [n for n in ("sbx", "nginx", "squid") if n in self.rig.proxies and not (h2 and n == "squid")]
            for _ in range(self.rounds * 2):
                direct = self.rig.run("direct", load="rate", rate=1000, bytes=1024, seconds=self.seconds, conns=32)
                for name in names:
                    one = self.rig.run(name, load="rate", rate=1000, bytes=1024, seconds=self.seconds, h2=h2, **shape)
                    for part in ("p50", "p99"):
                        added.setdefault((name, part), []).append((one[part] - direct[part]) / 1000)
            for (name, part), values in added.items():
                goal = {} if name != "sbx" else {"target": 0.3 if part == "p50" else 1.0}
                self.record(f"added latency at 1,000 requests/s, {label}, {part}: {name}", values, unit="ms",
                            realtime=realtime, **goal)

    def connections(self):
        def per_cpu(r):
            return r["connections"] / (r["cpu"] or r["client_cpu"])

        def per_second(r):
            return r["connections"] / r["seconds"]

        everyone = ["sbx", "nginx", "mitmproxy", "squid"]
        self.compare("new connections with one request, leaf cached", "per CPU second", per_cpu, per_second, everyone,
                     load="new", conns=8, bytes=1024, goals=[("nginx", 0), ("mitmproxy", 0)])
        self.compare("new connections with one request, each another name", "per CPU second", per_cpu, per_second,
                     ["sbx", "mitmproxy", "squid"], load="new", conns=8, bytes=1024, names=NAMES,
                     goals=[("mitmproxy", 0)])

    def bulk(self):
        def per_cpu(r):
            return r["bytes"] / (r["cpu"] or r["client_cpu"]) / 1e6

        def per_second(r):
            return r["bytes"] / r["seconds"] / 1e6

        everyone = ["sbx", "nginx", "mitmproxy", "squid"]
        for label, keys in (("download, HTTP/1.1", {}), ("upload, HTTP/1.1", {"upload": 1}),
                            ("download, HTTP/2", {"h2": 1}), ("upload, HTTP/2", {"h2": 1, "upload": 1})):
            self.compare(f"bulk {label}", "MB per CPU second", per_cpu, per_second,
                         [n for n in everyone if not (n == "squid" and "h2" in keys)], load="loop", conns=1,
                         bytes=BULK, goals=[("nginx", 0.8)], **keys)

    def memory(self, idle):
        for name, pair in idle.items():
            goal = {"target": 12} if name == "sbx" else {}
            self.record(f"PSS idle: {name}", pair[0], unit="MiB", rss=round(pair[1], 1), **goal)
        for name in [n for n in ("sbx", "nginx", "mitmproxy", "squid") if n in self.rig.proxies]:
            p = self.rig.proxies[name]
            try:
                stand = self.rig.ask("idle", way=p["way"], port=p["port"], conns=1000, bytes=1024)["connections"]
                self.note_memory(name)
                pss, rss = memory_mib(p["pids"])
                self.rig.ask("end-idle")
            except Failed as fault:
                print(f"bench: 1,000 idle connections: {name}: {fault}", file=sys.stderr)
                break
            self.record(f"PSS with 1,000 idle connections: {name}", pss, unit="MiB", rss=round(rss, 1), stand=stand)
        for name, pair in self.peak.items():
            goal = {"target": 64} if name == "sbx" else {}
            if name != "direct":
                self.record(f"PSS, the most seen under all loads: {name}", pair[0], unit="MiB",
                            rss=round(pair[1], 1), **goal)


PARTS = ("requests", "latency", "connections", "bulk", "memory")


def run(record, rounds=5, seconds=1.0, parts=PARTS, only=(), realtime=False):
    rig = Rig(only)
    try:
        if realtime and not set_realtime([rig.harness.pid, *(p for x in rig.proxies.values() for p in x["pids"])], True):
            print("bench: no real-time priority here", file=sys.stderr)
        bench = Bench(rig, record, rounds, seconds, realtime)
        idle = {n: memory_mib(p["pids"]) for n, p in rig.proxies.items() if p["pids"]}
        record("load of the host over the last minute, before and after", os.getloadavg()[0], unit="processes")
        for part in parts:
            bench.memory(idle) if part == "memory" else getattr(bench, part)()
        record("load of the host over the last minute, before and after", os.getloadavg()[0], unit="processes")
    finally:
        rig.close()


def main():
    options = argparse.ArgumentParser(description="measure the way out; scripts/bench egress does so with the rest")
    options.add_argument("-n", "--rounds", type=int, default=5)
    options.add_argument("-s", "--seconds", type=float, default=1.0)
    options.add_argument("--only", action="append", default=[], help="a proxy beside sbx; again for more")
    options.add_argument("--realtime", action="store_true", help="before everything else on the host, in all parts")
    options.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    chosen = options.parse_args()
    import bench
    run(bench.record, chosen.rounds, chosen.seconds, chosen.parts or PARTS, chosen.only, chosen.realtime)


if __name__ == "__main__":
    main()
