"""certs.py - the rig's certificate authority, and certificates as good and as bad as tests need them"""
import subprocess

CONFIG = """
[ca]
default_ca = d
[d]
database = {top}/index
serial = {top}/serial
new_certs_dir = {top}
default_md = sha256
policy = p
unique_subject = no
copy_extensions = copy
x509_extensions = leaf
[p]
commonName = supplied
[leaf]
basicConstraints = critical,CA:false
[req]
distinguished_name = n
prompt = no
[n]
"""


def run(*argv):
    subprocess.run(list(map(str, argv)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Authority:
    def __init__(self, top, name):
        self.top, self.name = top, name
        top.mkdir()
        (top / "index").touch()
        (top / "serial").write_text("1000\n")
        self.config = top / "config"
        self.config.write_text(CONFIG.format(top=top))
        self.key, self.cert = top / "ca.key", top / "ca.crt"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-days", "30", "-keyout", self.key, "-out", self.cert,
            "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, san, days=("-days", "5"), more=(), digest="sha256"):
        """A certificate with its key in one file; @san "" is one without."""
        out = self.top / f"{name}.pem"
        request, cert = self.top / "csr", self.top / f"{name}.crt"
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", out, "-out", request, "-config", self.config,
            *(("-addext", f"subjectAltName={san}") if san else ()), *more)
        run("openssl", "ca", "-batch", "-notext", "-config", self.config, "-cert", self.cert, "-keyfile",
            self.key, "-in", request, "-out", cert, "-md", digest, *days)
        out.write_text(out.read_text() + cert.read_text() + self.cert.read_text())
        return out


def self_signed(top, name):
    out, cert = top / f"self-{name}.pem", top / "self.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
        f"/CN={name}", "-days", "5", "-keyout", out, "-out", cert, "-addext", f"subjectAltName=DNS:{name}")
    out.write_text(out.read_text() + cert.read_text())
    return out
