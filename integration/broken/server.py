"""Servers that are wrong on purpose: server.py FAULT PORT.

Each has one fault and is right otherwise; docker-compose.yml says which finding names it.
"""
import asyncio
import os
import ssl
import subprocess
import sys
import tempfile

CA = """[ca]
default_ca = one
[one]
dir = {dir}
database = {dir}/index
serial = {dir}/serial
new_certs_dir = {dir}
default_md = sha256
policy = any
[any]
commonName = supplied
[names]
subjectAltName = DNS:{name}
"""


def certificate(name, begin, end):
    """A self-signed certificate for a name, valid between two moments (YYYYMMDDHHMMSSZ)."""
    d = tempfile.mkdtemp()
    with open(f"{d}/ca", "w") as f:
        f.write(CA.format(dir=d, name=name))
    open(f"{d}/index", "w").close()
    with open(f"{d}/serial", "w") as f:
        f.write("01\n")
    run = lambda *a: subprocess.run(["openssl", *a], check=True, cwd=d, stderr=subprocess.DEVNULL)
    run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "request", "-subj", f"/CN={name}")
    run("ca", "-batch", "-config", "ca", "-selfsign", "-keyfile", "key", "-in", "request", "-out", "cert",
        "-notext", "-extensions", "names", "-startdate", begin, "-enddate", end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{d}/cert", f"{d}/key")
    return context


async def page(reader, writer):
    """A web page, whatever is asked."""
    try:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
        await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
        pass
    writer.close()


def smtp(pause):
    """A mail server that greets after so many seconds, knows EHLO and QUIT, and takes no mail."""
    async def talk(reader, writer):
        try:
            await asyncio.sleep(pause)
            writer.write(b"220 broken.zoo.example ESMTP\r\n")
            while line := await asyncio.wait_for(reader.readline(), 30):
                verb = line[:4].upper()
                if verb == b"QUIT":
                    writer.write(b"221 broken.zoo.example closes\r\n")
                    break
                elif verb == b"EHLO":
                    writer.write(b"250-broken.zoo.example\r\n250 8BITMIME\r\n")
                elif verb in (b"NOOP", b"RSET", b"HELO"):
                    writer.write(b"250 OK\r\n")
                else:
                    writer.write(b"502 not here\r\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            pass
        writer.close()
    return talk


async def silent(reader, writer):
    """Nothing, until the client leaves."""
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        pass
    writer.close()


async def main(fault, port):
    tls = None
    if fault == "expired":
        talk, tls = page, certificate(os.uname().nodename, "20240101000000Z", "20240401000000Z")
    elif fault == "wrong-name":
        talk, tls = page, certificate("elsewhere.example", "20240101000000Z", "20490401000000Z")
    else:
        talk = {"smtp": smtp(0), "tarpit": smtp(4), "silent": silent}[fault]
    server = await asyncio.start_server(talk, "0.0.0.0", port, ssl=tls)
    async with server:
        await server.serve_forever()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
