"""Are the certificates what TLS stacks and RFC 8705 ask for?"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from identity_kit import NOW, Kit, make_kit

from sandbox.deployment import Misconfigured
from sandbox.identity.enrolment import certificate_path
from sandbox.identity.pki import Authority, key_to_pem, make_key, thumbprint, to_pem

BEGAN = dt.datetime.fromtimestamp(NOW, dt.UTC)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("deployment"))


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def usage(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def sans(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.mark.requirement("identity:certificate:shape")
def test_the_authority_signs_leaves_and_nothing_below_them(kit: Kit) -> None:
    certificate = read(kit.deployment.pki / "ca.pem")
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    key_usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)

    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert key_usage.critical
    assert (key_usage.value.key_cert_sign, key_usage.value.digital_signature) == (True, False)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert certificate.not_valid_after_utc - BEGAN == dt.timedelta(days=3650)


@pytest.mark.requirement("identity:certificate:shape")
@pytest.mark.parametrize(
    ("file", "purpose"),
    [("server.pem", ExtendedKeyUsageOID.SERVER_AUTH), ("clients/agent.pem", ExtendedKeyUsageOID.CLIENT_AUTH)],
)
def test_a_leaf_serves_one_purpose_for_a_year(kit: Kit, file: str, purpose: x509.ObjectIdentifier) -> None:
    certificate = read(kit.deployment.pki / file)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)

    certificate.verify_directly_issued_by(read(kit.deployment.pki / "ca.pem"))
    assert usage(certificate) == [purpose]
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert certificate.not_valid_before_utc < BEGAN
    assert certificate.not_valid_after_utc - BEGAN == dt.timedelta(days=365)


@pytest.mark.requirement("identity:certificate:shape")
def test_a_client_has_a_spiffe_id_and_a_name(kit: Kit) -> None:
    certificate = read(kit.deployment.pki / "clients" / "agent.pem")

    assert sans(certificate).get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://shop.example.com/client/agent"
    ]
    assert [n.value for n in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["agent"]


@pytest.mark.requirement("identity:certificate:shape")
def test_the_server_answers_to_this_machine_and_to_further_names(kit: Kit) -> None:
    names = sans(read(kit.deployment.pki / "server.pem"))

    assert names.get_values_for_type(x509.DNSName) == ["localhost", "tools.shop.example.com"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == [
        "127.0.0.1",
        "::1",
        "192.0.2.7",
    ]


@pytest.mark.requirement("identity:keys:private")
def test_every_private_key_is_its_owners_alone(kit: Kit) -> None:
    keys = [*kit.deployment.pki.rglob("*.key"), kit.deployment.keys / "token.key", *kit.deployment.tokens.iterdir()]

    assert len(keys) >= 5
    assert {oct(path.stat().st_mode & 0o777) for path in keys} == {"0o600"}


def test_no_leaf_outlives_its_authority() -> None:
    authority = Authority.make("shop.example.com", NOW)
    late = NOW + 3600 * 86_400
    leaf = x509.load_pem_x509_certificate(authority.sign_client(make_key().public_key(), "agent", late))

    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc
    with pytest.raises(Misconfigured, match="expired"):
        authority.sign_client(make_key().public_key(), "agent", NOW + 3651 * 86_400)


def test_an_authority_and_a_foreign_key_do_not_go_together() -> None:
    authority = Authority.make("shop.example.com", NOW)

    with pytest.raises(Misconfigured, match="not the key"):
        Authority.from_pem(to_pem(authority.certificate), key_to_pem(make_key()))
    with pytest.raises(Misconfigured, match="not a certificate"):
        Authority.from_pem(b"", key_to_pem(authority.key))


@pytest.mark.parametrize("host", ["bücher.example", "x" * 3 + "ü"])
def test_a_host_name_that_certificates_cannot_carry_is_refused(host: str) -> None:
    with pytest.raises(Misconfigured, match="DNS name"):
        Authority.make("shop.example.com", NOW).sign_server(make_key().public_key(), [host], NOW)


def test_a_thumbprint_is_the_digest_of_the_certificates_der(kit: Kit) -> None:
    der = read(certificate_path(kit.deployment, "agent")).public_bytes(serialization.Encoding.DER)

    assert thumbprint(kit.certificate) == hashlib.sha256(der).digest()
