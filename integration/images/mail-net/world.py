#!/usr/bin/python3
"""Makes /world: what every server of the small internet is, from the table of faults.

Every domain is sound but for what its row plants: its own signed zone, an MX, SPF, DKIM,
DMARC, TLS-RPT, MTA-STS in mode enforce, CAA, and TLSA where the MX is its own. A row of
the table (integration/mail_faults.yaml) has these keys for the planting:

  drop     baseline records that are not published: mx spf dkim dmarc tlsrpt sts caa tlsa srv
  add      lines of a zone file; $domain, $mx, $host, $web, $closed, $spki, $foreign (of an
           authority) and $weak (a DKIM key of 512 bits) stand for what they say
  dnssec   signed, none, bogus, expired, lame
  host     a scripted MX of its own, mx.DOMAIN: options for `all` ports and for each port
           (fake.py), and addresses (how many), six (live or dead), ptr (names, or []), ports, container
  clients  the host has the client ports, SRV, autoconfig and autodiscover, too
  policy   of MTA-STS: text, status, type, redirect, certificate
  autoconfig  replaces pieces of the file: {from: to}
  autodiscover  status, certificate
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import string
import sys
import time

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import certs
import web
import zones

WORLD = "/world"
NET, NET6 = "198.18.53.", "2001:2:0:53::"
GATEWAY, NAMES, RESOLVER, WEB, CLOSED = 1, 2, 3, 4, 9
POSTFIX, EXIM, LAX, SLOW, FIRST_FAKE = 10, 11, 12, 20, 30
CLIENT_PORTS = [465, 587, 143, 993, 110, 995, 4190]
ROW_KEYS = {"domain", "fault", "sound", "finds", "also", "injection", "tls_scan", "drop", "add", "dnssec", "host", "clients", "policy", "autoconfig",
            "autodiscover"}
HOST_KEYS = {"all", "addresses", "six", "ptr", "ports", "container"}
SRV = {"_submissions": 465, "_submission": 587, "_imaps": 993, "_imap": 143, "_pop3s": 995, "_pop3": 110, "_sieve": 4190}


def key_text(bits):
    """A DKIM key as (private PEM, TXT strings)."""
    key = rsa.generate_private_key(65537, bits)
    public = base64.b64encode(key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()
    record = "v=DKIM1; k=rsa; p=" + public
    text = " ".join(f'"{record[i:i + 200]}"' for i in range(0, len(record), 200))
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption()).decode(), text


class World:
    def __init__(self, rows):
        self.rows = rows
        self.certificates = certs.Certificates(WORLD + "/certs")
        self.zones = {}      # name: (lines, dnssec)
        self.reverse = []    # (address, name)
        self.hosts = []      # for fake.py
        self.sites = []      # for nginx
        self.next_fake = FIRST_FAKE
        self.dkim_private, self.dkim = key_text(2048)
        _, self.dkim_weak = key_text(512)

    # --- the parts of one domain

    def baseline(self, row, mx):
        domain = row["domain"]
        lines = {
            "mx": [f"@ MX 10 {mx}."],
            "spf": ['@ TXT "v=spf1 mx -all"'],
            "dkim": [f"s1._domainkey TXT {self.dkim}"],
            "dmarc": [f'_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@{domain}"'],
            "tlsrpt": [f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tlsrpt@{domain}"'],
            "sts": ['_mta-sts TXT "v=STSv1; id=20260101000000"', f"mta-sts A {NET}{WEB}"],
            "caa": ['@ CAA 0 issue "letsencrypt.org"'],
            "srv": [],
            "tlsa": [],
        }
        if row.get("clients"):
            lines["srv"] = [f"{service}._tcp SRV 0 1 {port} {mx}." for service, port in SRV.items()]
            lines["srv"] += [f"autoconfig A {NET}{WEB}", f"autodiscover A {NET}{WEB}",
                             "_autodiscover._tcp SRV 0 1 443 autodiscover"]
        return lines

    def add_domain(self, row, mx, kinds=()):
        """kinds are those of the certificates that the MX of this domain has on port 25."""
        domain = row["domain"]
        lines = self.baseline(row, mx)
        if mx == "mx." + domain or kinds:
            label = mx[:-len(domain) - 1]
            lines["tlsa"] = [f"_25._tcp.{label} TLSA 3 1 1 {self.certificates.spki(mx, kind)}" for kind in kinds]
            if kinds:  # of a key that waits to be used next
                lines["tlsa"].append(f"_25._tcp.{label} TLSA 3 1 1 {hashlib.sha256(('next ' + mx).encode()).hexdigest()}")
        dropped = set(row.get("drop", []))
        if dropped - set(lines):
            raise ValueError(f"{domain}: drop: unknown {dropped - set(lines)}; there are {', '.join(lines)}")
        published = [line for part, some in lines.items() if part not in dropped for line in some]
        values = dict(domain=domain, mx=mx, web=f"{NET}{WEB}", closed=f"{NET}{CLOSED}", host=row.get("address", ""),
                      spki=self.certificates.spki(mx, kinds[0]) if kinds else "", weak=self.dkim_weak, foreign=self.certificates.authority_spki())
        published += [string.Template(line).substitute(values) for line in row.get("add", [])]
        self.zones[domain] = (published, row.get("dnssec", "signed"))
        if "sts" not in dropped:
            self.sites.append(web.policy(domain, mx, row.get("policy", {}), values))
        if row.get("clients"):
            self.sites.append(web.autoconfig(domain, mx, row.get("autoconfig", {})))
            self.sites.append(web.autodiscover(domain, row.get("autodiscover", {})))

    def host_records(self, zone, name, addresses, ptr=None):
        label = name[:-len(zone) - 1]
        lines, _ = self.zones[zone]
        for address in addresses:
            lines.append(f"{label} {'AAAA' if ':' in address else 'A'} {address}")
            for pointer in [name] if ptr is None else ptr:
                self.reverse.append((address, pointer))

    def fake_host(self, row):
        """Gives the row's domain its own scripted MX and returns the kinds of certificate of port 25."""
        domain, spec = row["domain"], dict(row["host"])
        name = "mx." + domain
        ports = spec.get("ports") or [25] + (CLIENT_PORTS if row.get("clients") else [])
        unknown = {k for k in spec if k not in HOST_KEYS and k not in ports}
        if unknown:
            raise ValueError(f"{domain}: host: unknown {unknown}; there are {', '.join(sorted(HOST_KEYS))} and its ports")
        container = spec.get("container", "mail-faults")
        if container == "mail-slow":
            addresses = [f"{NET}{SLOW}"]
        else:
            addresses = [f"{NET}{self.next_fake + i}" for i in range(spec.get("addresses", 1))]
            self.next_fake += len(addresses)
        listened, published = list(addresses), list(addresses)
        last = addresses[0].rsplit(".", 1)[1]
        if spec.get("six"):
            published.append(f"{NET6}{last}" if spec["six"] == "live" else f"{NET6}dead:{last}")
            if spec["six"] == "live":
                listened.append(published[-1])
            else:
                # An address that is there and has nothing on it: refused at once.
                self.nobody.append(published[-1])
        services, kinds = {}, []
        for port in ports:
            options = {"certificate": "good", **spec.get("all", {}), **spec.get(port, {})}
            some = options["certificate"]
            some = [some] if isinstance(some, str) else some
            if port == 25:
                kinds = some
            options["certificate"] = [self.certificates.path(name, kind) for kind in some]
            if "no_sni" in options:
                options["no_sni"] = self.certificates.path(name, options["no_sni"])
            if "only" in options:
                options["only"] = [listened[i] for i in options["only"]]
            if "uneven" in options:
                options["uneven"] = {listened[i]: other for i, other in options["uneven"].items()}
            services[port] = options
        host = dict(name=name, container=container, addresses=listened, ports=services, serves=[domain, name])
        self.hosts.append(host)
        row["address"] = addresses[0]
        row["records"] = (name, published, spec.get("ptr"))
        return kinds

    # --- all of it

    def build(self):
        self.nobody = [f"{NET}{CLOSED}"]
        self.real_domains()
        self.shared_host()
        for row in self.rows:
            unknown = set(row) - ROW_KEYS
            if unknown:
                raise ValueError(f"{row.get('domain')}: unknown {unknown}; there are {', '.join(sorted(ROW_KEYS))}")
            domain = row["domain"]
            if domain in self.zones:
                continue  # a second row about the same domain: other arguments, other findings
            if row.get("host") is not None:
                kinds = self.fake_host(row)
                self.add_domain(row, "mx." + domain, kinds)
                name, addresses, ptr = row["records"]
                self.host_records(domain, name, addresses, ptr)
            else:
                self.add_domain(row, "mx.sound.test")
                self.shared["serves"].append(domain)
        self.hosts.append(dict(name="nobody.test", container="mail-faults", addresses=self.nobody, ports={}, serves=[]))

    def shared_host(self):
        row = {"domain": "sound.test", "host": {}}
        kinds = self.fake_host(row)
        self.shared = self.hosts[-1]
        self.add_domain(row, "mx.sound.test", kinds)
        self.host_records("sound.test", "mx.sound.test", row["records"][1])

    def real_domains(self):
        """Those of Postfix with Dovecot, of Exim with Cyrus, and of the lax twin of the first."""
        good = {"domain": "good.test", "clients": True, "add": ["@ MX 20 mx.well.test."],
                "policy": {"text": "version: STSv1\nmode: enforce\nmx: mx1.good.test\nmx: mx.well.test\nmax_age: 604800\n"}}
        self.add_domain(good, "mx1.good.test", ("good", "rsa"))
        self.host_records("good.test", "mx1.good.test", [f"{NET}{POSTFIX}", f"{NET6}{POSTFIX}"])
        well = {"domain": "well.test", "clients": True}
        self.add_domain(well, "mx.well.test", ("good",))
        self.host_records("well.test", "mx.well.test", [f"{NET}{EXIM}", f"{NET6}{EXIM}"])
        # The same server, which takes mail for this domain and throws it away.
        self.add_domain({"domain": "lost.test", "clients": True}, "mx1.good.test")
        lax = {"domain": "lax.test", "clients": True}
        self.add_domain(lax, "mx.lax.test", ("good",))
        self.host_records("lax.test", "mx.lax.test", [f"{NET}{LAX}"])

    def write(self):
        self.zones["vantage.test"] = ([f"@ A {NET}{GATEWAY}", f"@ AAAA {NET6}{GATEWAY}", '@ TXT "v=spf1 a -all"'], "signed")
        self.reverse += [(f"{NET}{GATEWAY}", "vantage.test"), (f"{NET6}{GATEWAY}", "vantage.test")]
        zones.write(WORLD, self.zones, self.reverse, f"{NET}{NAMES}", f"{NET}{CLOSED}", NET, NET6)
        web.write(WORLD, self.sites, self.certificates)
        with open(WORLD + "/hosts.json", "w") as out:
            json.dump(self.hosts, out, indent=1)
        with open(WORLD + "/dkim.pem", "w") as out:
            out.write(self.dkim_private)
        with open(WORLD + "/mailbox.env", "w") as out:
            out.write(f"MAIL_USER=alice\nMAIL_PASSWORD={secrets.token_hex(12)}\n")
        with open(WORLD + "/ca.pem", "wb") as out:
            out.write(self.certificates.known.root.public_bytes(certs.PEM))


def fingerprint():
    """Of everything that the world is made from."""
    digest = hashlib.sha256()
    for path in ["/faults.yaml"] + sorted("/net/" + name for name in os.listdir("/net") if name.endswith(".py")):
        with open(path, "rb") as source:
            digest.update(source.read())
    return digest.hexdigest()


def main():
    ready = WORLD + "/ready"
    made_from = fingerprint()
    # A restart of one server alone must not leave it with other certificates than the rest;
    # what is older than a day is made anew, since some of it is about to expire on purpose.
    if os.path.exists(ready) and time.time() - os.path.getmtime(ready) < 86400:
        with open(ready) as source:
            if source.read() == made_from:
                return
    for entry in os.listdir(WORLD):
        path = os.path.join(WORLD, entry)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    with open("/faults.yaml") as source:
        rows = yaml.safe_load(source)
    world = World(rows)
    world.build()
    world.write()
    with open(ready, "w") as out:
        out.write(made_from)


try:
    main()
except (ValueError, KeyError) as error:
    sys.exit(f"/faults.yaml: {error}")
