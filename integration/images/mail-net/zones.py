"""Zones: a root, .test, the reverse trees and one zone for each domain; signed, unsigned or spoilt."""

import concurrent.futures
import glob
import ipaddress
import os
import re
import shutil
import subprocess

HEAD = "$TTL 300\n@ SOA ns.test. hostmaster.test. 1 3600 600 864000 60\n@ NS {ns}\n"


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(f"{' '.join(command)}: {done.stderr[-600:]}")
    return done.stdout


class Signer:
    """Signs every zone with one key pair: the key's tag and private file do not depend on the zone's name."""

    def __init__(self, directory):
        self.directory = directory
        self.base = run("dnssec-keygen", "-q", "-f", "KSK", "-a", "ECDSAP256SHA256", "example.", cwd=directory).strip()
        with open(f"{directory}/{self.base}.key") as source:
            self.key = source.read()
        with open(f"{directory}/{self.base}.private") as source:
            self.private = source.read()
        self.tag = self.base.rsplit("+", 1)[1]

    def sign(self, zone, path, expired=False):
        """Replaces the zone's file by a signed one and returns its DS lines."""
        base = f"K{zone if zone == '.' else zone + '.'}+013+{self.tag}"
        with open(f"{self.directory}/{base}.key", "w") as out:
            out.write(re.sub(r"\bexample\.", zone if zone == "." else zone + ".", self.key))
        with open(f"{self.directory}/{base}.private", "w") as out:
            out.write(self.private)
        with open(path, "a") as out:
            out.write(f"$INCLUDE {self.directory}/{base}.key\n")
        when = ["-s", "20250101000000", "-e", "20250201000000"] if expired else ["-s", "now-86400", "-e", "now+7776000"]
        run("dnssec-signzone", "-q", "-z", "-P", *when, "-o", zone, "-f", path + ".signed", path, f"{base}.key",
            cwd=self.directory)
        os.replace(path + ".signed", path)
        with open(f"{self.directory}/dsset-{zone if zone == '.' else zone + '.'}") as source:
            return source.read()


def spoil(ds):
    """A delegation to a key that the zone does not have: validators call everything below it bogus."""
    return re.sub(r"[0-9A-F]{8}(?=\n|$)", "00000000", ds)


def pointer(address):
    return ipaddress.ip_address(address).reverse_pointer


def write(world, domains, reverse, ns, nobody, net, net6):
    directory = world + "/zones"
    os.makedirs(directory)
    signer = Signer(directory)

    def path(zone):
        return f"{directory}/{zone if zone != '.' else 'root'}.zone"

    def put(zone, lines, server="ns.test."):
        with open(path(zone), "w") as out:
            out.write(f"$ORIGIN {zone if zone == '.' else zone + '.'}\n" + HEAD.format(ns=server) + "\n".join(lines) + "\n")

    served = []
    test = [f"ns A {ns}", f"ns.lame A {nobody}"]

    def one(item):
        domain, (lines, dnssec) = item
        if dnssec == "lame":
            return domain, [f"{domain}. NS ns.lame.test."]
        put(domain, lines)
        delegation = [f"{domain}. NS ns.test."]
        if dnssec in ("signed", "bogus", "expired"):
            ds = signer.sign(domain, path(domain), dnssec == "expired")
            delegation.append(spoil(ds) if dnssec == "bogus" else ds)
        elif dnssec != "none":
            raise ValueError(f"{domain}: dnssec: unknown {dnssec!r}; there are signed, none, bogus, expired, lame")
        return domain, delegation

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for domain, delegation in pool.map(one, domains.items()):
            if len(delegation) > 1 or os.path.exists(path(domain)):
                served.append(domain)
            test += delegation
    put("test", test)
    root = [f"test. NS ns.test.", f"ns.test. A {ns}", signer.sign("test", path("test"))]
    v4 = ".".join(reversed(net.rstrip(".").split("."))) + ".in-addr.arpa"
    v6 = ipaddress.ip_address(net6 + "0").reverse_pointer.split(".", 16)[16]
    for zone, version in ((v4, 4), (v6, 6)):
        put(zone, [f"{pointer(a)}. PTR {n}." for a, n in sorted(set(reverse)) if ipaddress.ip_address(a).version == version])
        root += [f"{zone}. NS ns.test.", signer.sign(zone, path(zone))]
    put(".", root)
    signer.sign(".", path("."))
    served += ["test", v4, v6, "."]

    # The resolver's trust anchor: the root's own key.
    with open(f"{world}/anchor.key", "w") as out:
        out.write(re.sub(r"\bexample\.", ".", signer.key))
    with open(f"{world}/knot.conf", "w") as out:
        out.write(f"server:\n  user: knot:knot\n  listen: {ns}@53\nlog:\n  - target: stderr\n    any: warning\n"
                  "template:\n  - id: default\n    semantic-checks: off\n    zonefile-sync: -1\n    journal-content: none\nzone:\n")
        for zone in served:
            out.write(f"  - domain: {zone}\n    file: {path(zone)}\n")
    for name in glob.glob(directory + "/K*.private") + glob.glob(directory + "/dsset-*"):
        os.remove(name)
    shutil.chown(directory, "knot", "knot")
