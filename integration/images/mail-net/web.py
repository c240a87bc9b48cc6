"""The HTTPS host: MTA-STS policies, autoconfig and autodiscover, one server block for each name."""

import html
import os
import string

POLICY_KEYS = {"text", "status", "type", "redirect", "certificate"}
AUTODISCOVER_KEYS = {"status", "certificate"}

AUTOCONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="{domain}">
    <domain>{domain}</domain>
    <displayName>{domain}</displayName>
    <displayShortName>{domain}</displayShortName>
{servers}  </emailProvider>
</clientConfig>
"""
SERVER = """    <{way}Server type="{kind}">
      <hostname>{mx}</hostname>
      <port>{port}</port>
      <socketType>{security}</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </{way}Server>
"""
SERVERS = [("incoming", "imap", 993, "SSL"), ("incoming", "imap", 143, "STARTTLS"), ("incoming", "pop3", 995, "SSL"),
           ("incoming", "pop3", 110, "STARTTLS"), ("outgoing", "smtp", 465, "SSL"), ("outgoing", "smtp", 587, "STARTTLS")]


def site(name, path, body, kind, status=200, redirect=None, certificate="good"):
    return dict(name=name, path=path, body=body, kind=kind, status=status, redirect=redirect, certificate=certificate)


def policy(domain, mx, spec, values):
    unknown = set(spec) - POLICY_KEYS
    if unknown:
        raise ValueError(f"{domain}: policy: unknown {unknown}; there are {', '.join(sorted(POLICY_KEYS))}")
    text = string.Template(spec.get("text", "version: STSv1\nmode: enforce\nmx: $mx\nmax_age: 604800\n")).substitute(values)
    return site("mta-sts." + domain, "/.well-known/mta-sts.txt", text, spec.get("type", "text/plain"),
                spec.get("status", 200), spec.get("redirect"), spec.get("certificate", "good"))


def autoconfig(domain, mx, replaced):
    servers = "".join(SERVER.format(way=way, kind=kind, mx=mx, port=port, security=security)
                      for way, kind, port, security in SERVERS)
    text = AUTOCONFIG.format(domain=html.escape(domain), servers=servers)
    for old, new in replaced.items():
        if old not in text:
            raise ValueError(f"{domain}: autoconfig: {old!r} is not in the file")
        text = text.replace(old, new)
    return site("autoconfig." + domain, "/mail/config-v1.1.xml", text, "text/xml")


def autodiscover(domain, spec):
    unknown = set(spec) - AUTODISCOVER_KEYS
    if unknown:
        raise ValueError(f"{domain}: autodiscover: unknown {unknown}; there are {', '.join(sorted(AUTODISCOVER_KEYS))}")
    return site("autodiscover." + domain, "/autodiscover/autodiscover.xml", "", "text/xml",
                status=spec.get("status", 401), certificate=spec.get("certificate", "good"))


def write(world, sites, certificates):
    blocks = []
    for one in sites:
        root = f"{world}/web/{one['name']}"
        os.makedirs(root + os.path.dirname(one["path"]))
        with open(root + one["path"], "w") as out:
            out.write(one["body"])
        action = ""
        if one["redirect"]:
            action = f"return 301 {one['redirect']};"
        elif one["status"] != 200:
            action = f"return {one['status']};"
        challenge = 'add_header WWW-Authenticate "Basic realm=mail" always;' if one["status"] == 401 else ""
        pem = certificates.path(one["name"], one["certificate"])
        blocks.append(f"""
  server {{
    listen 443 ssl;
    server_name {one['name']};
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    root {root};
    location = {one['path']} {{ types {{ }} default_type {one['kind']}; {challenge} {action} }}
  }}""")
    with open(f"{world}/nginx.conf", "w") as out:
        out.write("""daemon off;
error_log stderr warn;
pid /run/nginx.pid;
user www-data;
worker_processes 1;
events { }
http {
  access_log off;
  server_names_hash_bucket_size 128;
  server_names_hash_max_size 4096;
  ssl_protocols TLSv1.2 TLSv1.3;
  server { listen 443 ssl default_server; ssl_reject_handshake on; }
""" + "".join(blocks) + "\n}\n")
