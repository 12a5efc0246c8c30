"""What pip's messages mean for the person who reads them."""

from __future__ import annotations

from slicer.i18n import tr as _


def why_pip_failed(said: str) -> str:
    """One or two sentences on the cause that pip's last words (English, whatever the system's language) point to."""
    for words, hint in _CAUSES:
        if any(word.lower() in said.lower() for word in words):
            return hint()
    return _("Is this computer online, and is a proxy needed (environment variable HTTPS_PROXY)?")


#: The first one that fits: a proxy that refuses is also a broken connection.
_CAUSES = (
    (
        ("Proxy Authentication Required", "407 "),
        lambda: _("The proxy asks for a name and a password: set HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT."),
    ),
    (
        ("ProxyError", "Cannot connect to proxy", "Tunnel connection failed"),
        lambda: _("The proxy did not answer: see whether the environment variable HTTPS_PROXY is right."),
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "SSLError", "SSLCertVerificationError"),
        lambda: _(
            "The server's certificate is not trusted here, as behind some firewalls: name your institution's "
            "certificates by the environment variable PIP_CERT."
        ),
    ),
    (
        ("No space left on device", "Errno 28", "not enough space on the disk"),
        lambda: _("The disk is full: make room where Slicer is installed and in the temporary folder."),
    ),
    (
        ("Permission denied", "Access is denied", "Errno 13", "WinError 5"),
        lambda: _(
            "Slicer's folder cannot be written to: install Slicer where you may write, or start it once as somebody "
            "who may."
        ),
    ),
    (
        (
            "Name or service not known",
            "name resolution",
            "getaddrinfo failed",
            "nodename nor servname",
            "Failed to establish a new connection",
            "Network is unreachable",
            "timed out",
            "Connection refused",
            "Connection reset",
            "connection broken",
        ),
        lambda: _(
            "The server was not reached. Is this computer online, and is a proxy needed (environment variable "
            "HTTPS_PROXY)?"
        ),
    ),
    (
        ("No matching distribution found", "from versions: none"),
        lambda: _(
            "There is no build of it for this Python, or the server was not reached. Is this computer online, and is "
            "a proxy needed (environment variable HTTPS_PROXY)?"
        ),
    ),
)
