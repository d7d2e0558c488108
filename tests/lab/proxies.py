"""Proxies: nginx as labs put it in front of a registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.processes import answers, free_port, serving
from lab.registries import Certificates

_CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    log_format lab '$request_method $uri $status $ssl_client_verify';
    access_log {folder}/requests lab;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/none;
    uwsgi_temp_path {folder}/none;
    scgi_temp_path {folder}/none;
    server {{
        listen 0.0.0.0:{listen};
        client_max_body_size {body_limit};
        {tls}
        location / {{
            proxy_pass http://{upstream};
            proxy_request_buffering off;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs: where it is reached, and the folder of its logs."""

    host: str
    folder: Path

    def requests(self) -> list[tuple[str, str, int, str]]:
        """Method, path, status, and what became of the client's certificate, of all that was asked."""
        lines = [line.split() for line in (self.folder / "requests").read_text().splitlines()]
        return [(method, path, int(status), verified) for method, path, status, verified in lines]


@contextmanager
def nginx(
    folder: Path,
    upstream: str,
    *,
    body_limit: str = "0",
    tls: Certificates | None = None,
    client_certificates: str = "off",
) -> Iterator[Proxy]:
    """nginx before `upstream` (host:port); `client_certificates` of the CA of `tls`: off, optional or on."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            listen=f"{port} ssl" if tls else port,
            body_limit=body_limit,
            upstream=upstream,
            tls=_tls(tls, client_certificates) if tls else "",
        )
    )
    command = ["nginx", "-c", str(config), "-e", str(folder / "errors")]
    with serving(command, folder / "log", lambda: answers(port)):
        yield Proxy(f"localhost:{port}", folder)


def _tls(certificates: Certificates, client_certificates: str) -> str:
    lines = [
        f"ssl_certificate {certificates.certificate};",
        f"ssl_certificate_key {certificates.key};",
        f"ssl_client_certificate {certificates.ca};",
        f"ssl_verify_client {client_certificates};",
    ]
    return " ".join(lines)
