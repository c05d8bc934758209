# SPDX-License-Identifier: Apache-2.0
"""Certificates of our own making, and what Python's ssl says over them."""
import base64
import datetime
import hashlib
import ipaddress
import os
import ssl
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


def new_key(kind="p256"):
    return ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else rsa.generate_private_key(65537, int(kind[3:]))


class Certificate:
    """Signed by `issuer` (none: by itself). `days`: from and until when, from now on."""

    def __init__(self, name, issuer=None, *, hosts=("127.0.0.1", "localhost"), days=(-1, 30), key="p256", ca=False):
        self.key, self.issuer = new_key(key), issuer
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).public_key(self.key.public_key())
                   .issuer_name(issuer.certificate.subject if issuer else subject)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([self._host(h) for h in hosts]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256())

    @staticmethod
    def _host(host):
        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return x509.DNSName(host)

    @property
    def serial(self):
        return self.certificate.serial_number

    @property
    def pin(self):
        public = self.key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return "sha256//" + base64.b64encode(hashlib.sha256(public).digest()).decode()

    def pem(self):
        return self.certificate.public_bytes(PEM)

    def key_pem(self, password=None):
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, how)

    def write(self, folder, name, chain=()):
        """(path of the certificates, path of the key)"""
        paths = os.path.join(str(folder), f"{name}.pem"), os.path.join(str(folder), f"{name}.key")
        for path, content in zip(paths, (self.pem() + b"".join(c.pem() for c in chain), self.key_pem())):
            with open(path + ".new", "wb", opener=lambda p, f: os.open(p, f, 0o600)) as out:
                out.write(content)
            os.rename(path + ".new", path)
        return paths


def context(ca, version=None, alpn=(), ciphers=None):
    """A client's side that trusts `ca` alone."""
    made = ssl.create_default_context(cadata=ca.pem().decode())
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # an end without close_notify is none
    if version is not None:
        made.minimum_version = made.maximum_version = version
    if ciphers:
        made.set_ciphers(ciphers)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def s_client(address, *options, stdin=b"", **run):
    """openssl s_client: (its exit status, what it wrote)."""
    done = subprocess.run(["openssl", "s_client", "-connect", address, *options], input=stdin, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **run)
    return done.returncode, done.stdout.decode("utf-8", "replace")
