"""`segclient doctor`: goes the way of a session step by step, and says at each what is wrong and what to do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import quantiles
from typing import Any

import click

from segtriton_client.cli_options import endpoint_options, make_endpoint
from segtriton_client.config_file import config_option
from segtriton_client.errors import ClientError
from segtriton_client.numbered_clip import FRAME_RATE, make_clip
from segtriton_client.probe import Record, probe
from segtriton_client.probe_result import ProbeResult
from segtriton_client.transport import Endpoint, GrpcTransport
from segtriton_protocol import PROTOCOL_VERSION, ErrorCode, SegtritonError

_FRAMES = FRAME_RATE
_STEP_SECONDS = 5.0
_SESSION_SECONDS = 20.0
_P50, _P95 = 49, 94
_NEAR_DAYS = 14
_REMEDIES = {
    "TIMEOUT": "Look at the server's load and log.",
    "UNAVAILABLE": "Check the endpoint, the network between, and TLS on both sides.",
    "LOST": "Look at the server's log, and for a proxy that ends long connections.",
    "REFUSED": "Check --network, --token and --cert-file.",
    "WRONG_PICTURE": "Report it with the server's log.",
    "INTEGRITY": "Report it with the server's log.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One step: what was found, and what to do where it is not well."""

    step: str
    well: bool
    found: str
    remedy: str = ""


@click.command(context_settings={"auto_envvar_prefix": "SEGCLIENT"})
@config_option
@endpoint_options
@click.option("--network", default="selfie", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Write the findings as JSON.")
def doctor(network: str, as_json: bool, **options: Any) -> None:
    """Check the way to a server step by step, with a remedy for what is not well; ends with 1 if something is not."""
    findings = asyncio.run(collect(make_endpoint(options), network, quiet=as_json))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if not all(finding.well for finding in findings):
        click.get_current_context().exit(1)


async def collect(endpoint: Endpoint, network: str, *, quiet: bool) -> list[Finding]:
    """Return all findings; unless quiet, tell each as it is made."""
    findings = []
    async for finding in examine(endpoint, network):
        findings.append(finding)
        if not quiet:
            click.echo(describe(finding))
    return findings


def describe(finding: Finding) -> str:
    """Return a finding as a line, with its remedy below."""
    mark = click.style("ok    ", fg="green") if finding.well else click.style("not ok", fg="red")
    line = f"{mark}  {finding.step:<11} {finding.found}"
    return f"{line}\n        {'':<11} {finding.remedy}" if finding.remedy else line


async def examine(endpoint: Endpoint, network: str) -> AsyncIterator[Finding]:
    """Give the findings in the order of a session's life; ends at the first without which the others mean nothing."""
    host, _, port = endpoint.target.rpartition("///")[2].rpartition(":")
    steps = (
        partial(check_name, host, port),
        partial(check_port, host, port),
        partial(check_certificate, endpoint, host, port),
    )
    for step in steps:
        finding = await step()
        yield finding
        if not finding.well:
            return
    async with GrpcTransport(endpoint) as transport:
        for look in (partial(check_server, transport), partial(check_models, transport, network)):
            finding = await look()
            yield finding
            if not finding.well:
                return
        for finding in await check_session(transport, network):
            yield finding


async def check_name(host: str, port: str) -> Finding:
    """Check that the name has an address."""
    host = host.strip("[]")
    if not host or not port.isdigit():
        return Finding(
            "name", False, "the endpoint is not HOST:PORT", "Give --endpoint HOST:PORT, such as localhost:8001."
        )
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        return Finding("name", False, f"{host} has no address: {error.strerror}", "Check the name, and DNS.")
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Finding("name", True, f"{host} is {', '.join(addresses)}")


async def check_port(host: str, port: str) -> Finding:
    """Check that something listens."""
    remedy = "Check that the server runs, that this is its gRPC port, and that no firewall is between."
    try:
        opening = asyncio.open_connection(host.strip("[]"), int(port))
        _, writer = await asyncio.wait_for(opening, _STEP_SECONDS)
    except asyncio.TimeoutError:
        return Finding("port", False, f"{port} does not answer within {_STEP_SECONDS:g} s", remedy)
    except OSError as error:
        return Finding("port", False, f"{port}: {os.strerror(error.errno or 0)}", remedy)
    writer.transport.abort()
    return Finding("port", True, f"{port} takes connections")


async def check_certificate(endpoint: Endpoint, host: str, port: str) -> Finding:
    """Check that the server's certificate is trusted, and how long it holds."""
    if not endpoint.uses_tls:
        return Finding("encryption", True, "none: packets and token travel in the clear")
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
        context.set_alpn_protocols(["h2"])
        if endpoint.cert_file and endpoint.key_file:
            context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
        name = endpoint.server_name or host.strip("[]")
        opening = asyncio.open_connection(host.strip("[]"), int(port), ssl=context, server_hostname=name)
        _, writer = await asyncio.wait_for(opening, _STEP_SECONDS)
    except ssl.SSLCertVerificationError as error:
        remedy = "Name the authority with --ca-file, use a name that the certificate has, or renew it."
        return Finding("encryption", False, f"the certificate is not trusted: {error.verify_message}", remedy)
    except (OSError, asyncio.TimeoutError):
        remedy = "Turn TLS on at the server, or leave out --ca-file, --cert-file and --key-file."
        return Finding("encryption", False, "the server does not speak TLS here", remedy)
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86400
    hint = "" if days > _NEAR_DAYS else "Renew the server's certificate soon."
    return Finding("encryption", True, f"TLS, trusted, the certificate holds {days:.0f} days more", hint)


async def check_server(transport: GrpcTransport) -> Finding:
    """Check that a Triton answers, and with which version."""
    try:
        await asyncio.wait_for(transport.connect(), _STEP_SECONDS)
        name = await transport.server_name()
    except asyncio.TimeoutError:
        return Finding("server", False, "it does not speak gRPC", "Check that this is Triton's gRPC port, mostly 8001.")
    except (ClientError, SegtritonError) as error:
        return Finding("server", False, _words(error), _advice(error))
    return Finding("server", True, name)


async def check_models(transport: GrpcTransport, network: str) -> Finding:
    """Check that the network is ready."""
    try:
        ready = await transport.ready_models(network)
    except (ClientError, SegtritonError) as error:
        return Finding("models", False, _words(error), _advice(error))
    if f"{network}_streaming" in ready:
        return Finding("models", True, ", ".join(ready))
    remedy = "Choose one of these with --network." if ready else "Wait until the server is ready, and see its log."
    return Finding("models", False, f"{network} is not ready; ready are: {', '.join(ready) or 'none'}", remedy)


async def check_session(transport: GrpcTransport, network: str) -> list[Finding]:
    """Check a session of one second, each frame of it."""
    record = Record()
    running = asyncio.create_task(probe(transport, make_clip(_FRAMES), network, record))
    done, _ = await asyncio.wait({running}, timeout=_SESSION_SECONDS)
    running.cancel()
    timeout = f"nothing within {_SESSION_SECONDS:g} s, in phase {record.running}"
    result = running.result() if done else record.finish("TIMEOUT", timeout)
    if result.info is None:
        return [Finding("session", False, f"{result.message} ({result.code})", _remedy(result.code))]
    info = result.info
    session = Finding("session", True, f"{info.server}, pod {info.pod}, protocol {PROTOCOL_VERSION}")
    codecs = Finding("codecs", True, f"decoder {info.decoder}, encoder {info.encoder}")
    return [session, codecs, judge(result)]


def judge(result: ProbeResult) -> Finding:
    """Return what became of the frames."""
    if not result.success:
        return Finding("frames", False, f"{result.message} ({result.code})", _remedy(result.code))
    cuts = quantiles(result.latencies, n=100, method="inclusive")
    times = f"p50 {1000 * cuts[_P50]:.0f} ms, p95 {1000 * cuts[_P95]:.0f} ms"
    return Finding("frames", True, f"all {result.frames_out} came back as they should, {times}")


def _remedy(code: str) -> str:
    return ErrorCode[code].advice if code in ErrorCode.__members__ else _REMEDIES.get(code, "See the server's log.")


def _words(error: ClientError | SegtritonError) -> str:
    return error.message


def _advice(error: ClientError | SegtritonError) -> str:
    return error.code.advice if isinstance(error, SegtritonError) else error.advice
