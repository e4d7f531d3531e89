"""How are certificates made? A private CA for one deployment: ECDSA P-256, which every TLS stack in use accepts."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE: Final = dt.timedelta(days=3650)
LEAF_LIFE: Final = dt.timedelta(days=365)
BACKDATED: Final = dt.timedelta(minutes=5)
"""So that a certificate works at once on a machine whose clock is a little behind."""

SERVER_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@final
@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate_pem: bytes
    key_pem: bytes


def make_ca(name: str) -> Issued:
    """Make a self-signed CA that may sign leaves and nothing below them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA")])
    builder = (
        _builder(subject, subject, key.public_key(), CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _signed(builder, key, key)


def issue_server(ca: Issued, names: Sequence[str] = SERVER_NAMES) -> Issued:
    """Issue the service's certificate for DNS names and IP addresses."""
    return _leaf(ca, "sandbox server", [_general_name(name) for name in names], ExtendedKeyUsageOID.SERVER_AUTH)


def issue_client(ca: Issued, name: str, trust_domain: str) -> Issued:
    """Issue a client certificate with the SPIFFE id `spiffe://TRUST_DOMAIN/client/NAME` in its SAN."""
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}/client/{name}")
    return _leaf(ca, name, [uri], ExtendedKeyUsageOID.CLIENT_AUTH)


def self_signed_certificate(name: str) -> bytes:
    """Make a certificate for calls within one process, where no TLS layer asks for a chain; its key is thrown away."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return _signed(_builder(subject, subject, key.public_key(), dt.timedelta(days=1)), key, key).certificate_pem


def thumbprint(certificate_pem: bytes) -> bytes:
    """SHA-256 of the certificate's DER bytes (RFC 8705, section 3.1, `x5t#S256`)."""
    lines = certificate_pem.strip().splitlines()
    return hashlib.sha256(base64.b64decode(b"".join(lines[1:-1]))).digest()


def _leaf(ca: Issued, name: str, san: list[x509.GeneralName], usage: x509.ObjectIdentifier) -> Issued:
    ca_certificate = x509.load_pem_x509_certificate(ca.certificate_pem)
    ca_key = serialization.load_pem_private_key(ca.key_pem, None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the CA key is not an elliptic-curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, ca_certificate.subject, key.public_key(), LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .add_extension(x509.SubjectAlternativeName(san), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return _signed(builder, key, ca_key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> Issued:
    certificate = builder.sign(signer, hashes.SHA256())
    return Issued(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


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
        return x509.DNSName(name)
