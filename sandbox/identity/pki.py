"""How are certificates made? A private CA for one deployment: ECDSA P-256, for BoringSSL (grpc) takes no Ed25519."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.deployment import Misconfigured

CA_LIFE: Final = dt.timedelta(days=3650)
LEAF_LIFE: Final = dt.timedelta(days=365)
BACKDATED: Final = dt.timedelta(minutes=5)
"""So that a certificate works at once on a machine whose clock is a little behind."""

SERVER_NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""Names that every server certificate carries."""


@final
@dataclass(frozen=True, slots=True)
class Authority:
    """The deployment's CA: it signs leaves and nothing below them."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, trust_domain: str, now: float) -> Self:
        """Make a CA; its own SPIFFE id `spiffe://TRUST_DOMAIN` heads those of its clients."""
        key = make_key()
        subject = _common_name(f"{trust_domain} CA"[:64])
        uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
        begins = _moment(now)
        builder = (
            _builder(subject, subject, key.public_key(), begins, begins + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_ca=True), critical=True)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def from_pem(cls, certificate_pem: bytes, key_pem: bytes) -> Self:
        """Take up a CA; raises `Misconfigured` if the two do not belong together."""
        certificate = read_certificate(certificate_pem, "ca.pem")
        try:
            key = serialization.load_pem_private_key(key_pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Misconfigured("ca.key: not a private key in PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise Misconfigured("ca.key is not the key of ca.pem")
        return cls(certificate, key)

    @property
    def trust_domain(self) -> str:
        """The host part of the SPIFFE ids that it signs."""
        return _sans(self.certificate).get_values_for_type(x509.UniformResourceIdentifier)[0].removeprefix("spiffe://")

    def sign_server(self, public_key: ec.EllipticCurvePublicKey, names: Sequence[str], now: float) -> bytes:
        """Sign the service's certificate for `SERVER_NAMES` and further DNS names and IP addresses."""
        every = [_general_name(name) for name in dict.fromkeys((*SERVER_NAMES, *names))]
        return self._leaf(public_key, "sandbox server", every, ExtendedKeyUsageOID.SERVER_AUTH, now)

    def sign_client(self, public_key: ec.EllipticCurvePublicKey, name: str, now: float) -> bytes:
        """Sign a client's certificate with the SPIFFE id `spiffe://TRUST_DOMAIN/client/NAME`."""
        uri = x509.UniformResourceIdentifier(f"spiffe://{self.trust_domain}/client/{name}")
        return self._leaf(public_key, name, [uri], ExtendedKeyUsageOID.CLIENT_AUTH, now)

    def _leaf(
        self,
        public_key: ec.EllipticCurvePublicKey,
        name: str,
        sans: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        now: float,
    ) -> bytes:
        begins = _moment(now)
        # INVARIANT: no leaf outlives its CA; TLS would refuse it with a sentence about neither.
        ends = min(begins + LEAF_LIFE, self.certificate.not_valid_after_utc)
        if ends <= begins:
            raise Misconfigured("ca.pem has expired; make a new deployment with `sandbox init`")
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            _builder(_common_name(name), self.certificate.subject, public_key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(x509.SubjectAlternativeName(sans), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        return to_pem(builder.sign(self.key, hashes.SHA256()))


def make_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key for a CA or a leaf."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as PKCS #8, unencrypted: its protection is the file's mode."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def to_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_certificate(pem: bytes, where: str) -> x509.Certificate:
    """Parse one certificate; raises `Misconfigured` naming `where` it came from."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{where}: not a certificate in PEM") from error


def public_key_of(pem: bytes, where: str) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate of ours."""
    key = read_certificate(pem, where).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Misconfigured(f"{where}: not an elliptic-curve certificate")
    return key


def names_of(pem: bytes, where: str) -> list[str]:
    """Return the DNS names and IP addresses of a server certificate."""
    names = _sans(read_certificate(pem, where))
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def self_signed_certificate(name: str) -> bytes:
    """Make a certificate for calls within one process, where no TLS layer asks for a chain; its key is thrown away."""
    key, begins = make_key(), dt.datetime.now(dt.UTC)
    subject = _common_name(name)
    builder = _builder(subject, subject, key.public_key(), begins, begins + dt.timedelta(days=1))
    return to_pem(builder.sign(key, hashes.SHA256()))


def thumbprint(certificate_pem: bytes) -> bytes:
    """SHA-256 of the certificate's DER bytes (RFC 8705, section 3.1, `x5t#S256`)."""
    return x509.load_pem_x509_certificate(certificate_pem).fingerprint(hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - BACKDATED)
        .not_valid_after(ends)
    )


def _sans(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _moment(now: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(now), dt.UTC)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise Misconfigured(f"host name {name!r}: a DNS name in ASCII or an IP address is accepted") from error
