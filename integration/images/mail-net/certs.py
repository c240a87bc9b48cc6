"""The private certification authority and every certificate, sound or spoilt, made anew at each start.

The intermediate bears the organisation name of a well-known authority, so that a CAA
record can allow or forbid "the issuer in use". Nothing outside trusts its root.
"""

import datetime
import hashlib
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER

# kind: (issued, ends) in days from now, as ordinary authorities do it: 90 days, renewed after 60.
DATES = {
    "expired": (-95, -5),
    "not-yet-valid": (3, 93),
    "expiring": (-86, 4),
    "older": (-35, 55),
    "expired-ecdsa": (-95, -5),
    "expired-rsa": (-95, -5),
    "three-years": (-10, 1000),
}
KINDS = ("good", "rsa", "expired", "not-yet-valid", "expiring", "older", "expired-ecdsa", "wrong-name",
         "no-intermediate", "rsa-1024", "sha1", "self-signed", "foreign-authority", "client-only", "expired-rsa",
         "three-years")


def name(organization, common):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def builder(subject, issuer, key, begins, ends):
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + begins * DAY).not_valid_after(NOW + ends * DAY))


class Authority:
    """A root and the intermediate that signs the leaves."""

    def __init__(self, organization):
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.key = ec.generate_private_key(ec.SECP256R1())
        # Old signatures are made with RSA: nobody ever signed ECDSA with SHA-1.
        self.rsa_key = rsa.generate_private_key(65537, 2048)
        root = name("Herald Test Internet", organization + " Root")
        self.root = self._authority(root, root, self.root_key.public_key(), None)
        self.intermediate = self._authority(name(organization, "T1"), root, self.key.public_key(), 0)
        self.rsa_intermediate = self._authority(name(organization, "T2"), root, self.rsa_key.public_key(), 0)

    def _authority(self, subject, issuer, public, length):
        usage = x509.KeyUsage(digital_signature=True, content_commitment=False, key_encipherment=False,
                              data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                              encipher_only=False, decipher_only=False)
        return (builder(subject, issuer, public, -400, 3000)
                .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
                .add_extension(usage, critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()),
                               critical=False)
                .sign(self.root_key, hashes.SHA256()))


class Certificates:
    """Writes DIR/NAME-KIND.pem, key first and chain after the leaf, once for each that is asked for."""

    def __init__(self, directory):
        self.directory = directory
        self.known = Authority("Let's Encrypt")
        self.foreign = Authority("Nobody's Trust")
        self.leaves = {}
        os.makedirs(directory, exist_ok=True)

    def path(self, host, kind):
        if (host, kind) not in self.leaves:
            self._make(host, kind)
        return os.path.join(self.directory, f"{host}-{kind}.pem")

    def spki(self, host, kind):
        """The hexadecimal SHA-256 of the leaf's public key: TLSA selector 1, matching type 1."""
        self.path(host, kind)
        public = self.leaves[host, kind].public_key()
        info = public.public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(info).hexdigest()

    def authority_spki(self):
        """The same of the authority that nobody trusts."""
        public = self.foreign.intermediate.public_key()
        info = public.public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(info).hexdigest()

    def _make(self, host, kind):
        if kind not in KINDS:
            raise ValueError(f"{host}: unknown kind of certificate {kind!r}; there are {', '.join(KINDS)}")
        authority = self.foreign if kind == "foreign-authority" else self.known
        sha1 = kind == "sha1"
        issuer = authority.rsa_intermediate if sha1 else authority.intermediate
        signer = authority.rsa_key if sha1 else authority.key
        if kind in ("rsa", "rsa-1024", "expired-rsa"):
            key = rsa.generate_private_key(65537, 1024 if kind == "rsa-1024" else 2048)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
        subject = name(None, host)
        chain = [issuer]
        issuer_name = issuer.subject
        if kind == "self-signed":
            signer, issuer_name, chain = key, subject, []
        if kind == "no-intermediate":
            chain = []
        san = ["mail.somebody-else.test"] if kind == "wrong-name" else [host]
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if kind == "client-only" else ExtendedKeyUsageOID.SERVER_AUTH
        leaf = (builder(subject, issuer_name, key.public_key(), *DATES.get(kind, (-10, 80)))
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in san]), critical=False)
                .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                               critical=False)
                .sign(signer, hashes.SHA1() if sha1 else hashes.SHA256()))
        self.leaves[host, kind] = leaf
        with open(os.path.join(self.directory, f"{host}-{kind}.pem"), "wb") as out:
            out.write(key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                        serialization.NoEncryption()))
            for certificate in [leaf] + chain:
                out.write(certificate.public_bytes(PEM))
