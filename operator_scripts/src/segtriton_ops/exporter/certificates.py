"""When a server's certificate ends, also of one that no client trusts any more."""

from __future__ import annotations

import asyncio
import ssl

from cryptography import x509

from segtriton_client import Endpoint


async def read_expiry(host: str, port: int, endpoint: Endpoint) -> float:
    """Return the end of the certificate in seconds since 1970; raises OSError where none is shown."""
    context = ssl.create_default_context()
    # Nothing is sent on this connection: an expired or unknown certificate is to be read, too.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if endpoint.cert_file and endpoint.key_file:
        context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    name = endpoint.server_name or host
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
