#!/usr/bin/python3
"""Mail servers that do one thing wrong each, as /world/hosts.json tells.

A server without options is a sound one: SMTP on 25, 465 and 587, IMAP, POP3 and
ManageSieve. The options, for each port of a host:

  certificate   path, or list of paths, of key and chain in one file
  no_sni        path of the certificate for clients that name no server
  tls           {min: TLSv1, max: TLSv1_3, ciphers: "..."}: these versions, suites as OpenSSL writes them
  starttls      offered, none, stripped, broken, refused, injectable, kept, talkative, unlisted
  delay         seconds before the greeting; "slow" is GREET_DELAY of the environment, or 30
  answers       {situation: reply}: greeting, name (of the EHLO reply), mail-clear (before TLS), mail-null,
                rcpt-postmaster, rcpt-abuse, rcpt-unknown, rcpt-foreign, vrfy, expn, id, capa
  clear, secure {add: [...], remove: [...]}: capabilities before and after TLS
  auth_clear    whether a password would be taken before TLS
  protocol      speak this one: smtp, imap, pop3, sieve
  tls_first     whether TLS begins at once
  only          the addresses that are listened on, by their index
  uneven        {index: options} that another address of the host has instead
"""

import json
import os
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time

PORTS = {  # protocol, TLS first
    25: ("smtp", False), 465: ("smtp", True), 587: ("smtp", False), 143: ("imap", False), 993: ("imap", True),
    110: ("pop3", False), 995: ("pop3", True), 4190: ("sieve", False), 2525: ("smtp", False),
}


class Gone(Exception):
    """The client has left, or has to."""


def context(options):
    """The TLS side of a port; weak keys and suites are let through where they are asked for."""
    def one(paths):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wanted = options.get("tls", {})
        if wanted:
            made.minimum_version = ssl.TLSVersion[wanted.get("min", "TLSv1")]
            made.maximum_version = ssl.TLSVersion[wanted.get("max", "TLSv1_3")]
        made.set_ciphers(wanted.get("ciphers", "DEFAULT") + ":@SECLEVEL=0" if wanted else "ECDHE+AESGCM:ECDHE+CHACHA20")
        for path in [paths] if isinstance(paths, str) else paths:
            try:
                made.load_cert_chain(path)
            except ssl.SSLError:  # a key too small for the ordinary level
                made.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=0")
                made.load_cert_chain(path)
        return made

    named = one(options["certificate"])
    if "no_sni" not in options:
        return named
    nameless = one(options["no_sni"])

    def choose(connection, name, _):
        if name:
            connection.context = named
    nameless.sni_callback = choose
    return nameless


class Session:
    """One connection: lines in, lines out, TLS in between."""

    def __init__(self, connection, host, port, options):
        self.raw, self.host, self.port, self.options = connection, host, port, options
        self.protocol, self.tls_first = PORTS[port]
        self.protocol = options.get("protocol", self.protocol)
        self.tls_first = options.get("tls_first", self.tls_first)
        self.starttls = options.get("starttls", "offered")
        self.secure = False
        self.pending = b""

    def answer(self, situation, otherwise):
        return self.options.get("answers", {}).get(situation, otherwise).replace("$name", self.host["name"])

    def send(self, *lines):
        self.raw.sendall("".join(line + "\r\n" for line in lines).encode())

    def line(self):
        while b"\n" not in self.pending:
            if len(self.pending) > 65536:
                raise Gone
            more = self.raw.recv(4096)
            if not more:
                raise Gone
            self.pending += more
        got, self.pending = self.pending.split(b"\n", 1)
        return got.rstrip(b"\r").decode("utf-8", "replace")

    def begin_tls(self):
        if self.starttls != "injectable":
            self.pending = b""
        self.raw = self.options["context"].wrap_socket(self.raw, server_side=True)
        self.secure = True

    def upgrade(self, accepted, refused):
        """What happens on STARTTLS; true when the session is inside TLS then."""
        if self.starttls in ("none", "stripped") or self.secure:
            self.send(refused)
            return False
        if self.starttls == "refused":
            self.send(self.answer("refused", refused))
            return False
        if self.starttls == "talkative":
            self.send(accepted, "250 this line is not for you")
        else:
            self.send(accepted)
        if self.starttls == "broken":
            self.raw.recv(4096)
            self.raw.sendall(b"454 TLS currently unavailable\r\n")
            raise Gone
        self.begin_tls()
        return True

    def capabilities(self, always, clear, secure, starttls):
        """What the server lists now, after the edits that its options make."""
        listed = list(always) + list(secure if self.secure else clear)
        if not self.secure and self.starttls == "stripped":
            listed.append("X" * len(starttls))
        elif (not self.secure and self.starttls not in ("none", "unlisted")) or (self.secure and self.starttls == "kept"):
            listed.append(starttls)
        edits = self.options.get("secure" if self.secure else "clear", {})
        return [c for c in listed if c not in edits.get("remove", [])] + edits.get("add", [])

    def password_refused(self):
        return not self.secure and not self.options.get("auth_clear", False)

    def run(self):
        delay = self.options.get("delay", 0)
        time.sleep(float(os.environ.get("GREET_DELAY", "30")) if delay == "slow" else delay)
        if self.tls_first:
            self.begin_tls()
        getattr(self, self.protocol)()

    # --- SMTP

    def smtp(self):
        name = self.host["name"]
        greeting = self.answer("greeting", "220 $name ESMTP")
        self.send(*greeting.split("\n"))
        if not greeting.startswith("220"):
            while self.line().upper() != "QUIT":
                self.send("503 5.0.0 not now")
            self.send("221 2.0.0 bye")
            return
        limit = 0
        while True:
            verb, _, rest = self.line().partition(" ")
            verb = verb.upper()
            if verb == "EHLO":
                auth = ["AUTH PLAIN LOGIN"] if self.port != 25 else []
                listed = [self.answer("name", name)] + self.capabilities(
                    ["PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING"],
                    [], auth, "STARTTLS")
                limit = next((int(c[5:]) for c in listed if c.startswith("SIZE ") and c[5:].isdigit()), 0)
                self.send(*["250-" + c for c in listed[:-1]], "250 " + listed[-1])
            elif verb == "STARTTLS":
                self.upgrade("220 2.0.0 go ahead", "502 5.5.1 not here" if self.starttls != "refused" else "454 4.7.0 TLS is not available")
            elif verb == "AUTH":
                self.smtp_auth(rest)
            elif verb == "RCPT":
                self.send(self.recipient(rest))
            elif verb == "MAIL" and self.port != 25:
                self.send("530 5.7.0 authenticate first")
            elif verb == "MAIL" and not self.secure and "mail-clear" in self.options.get("answers", {}):
                self.send(self.answer("mail-clear", ""))
            elif verb == "MAIL" and limit and self.announced(rest) > limit:
                self.send(self.answer("mail-size", "552 5.3.4 message size exceeds the limit"))
            elif verb == "MAIL" and rest.upper().startswith("FROM:<>"):
                self.send(self.answer("mail-null", "250 2.1.0 ok"))
            elif verb == "QUIT":
                self.send("221 2.0.0 bye")
                return
            else:
                self.send({
                    "HELO": "250 " + name, "MAIL": "250 2.1.0 ok", "RSET": "250 2.0.0 ok", "NOOP": "250 2.0.0 ok",
                    "VRFY": self.answer("vrfy", "252 2.0.0 send some mail, I will try my best"),
                    "EXPN": self.answer("expn", "502 5.5.1 no lists are told"),
                    "DATA": "554 5.5.1 this server takes no message", "HELP": "214 2.0.0 RFC 5321",
                }.get(verb, "500 5.5.2 what?"))

    def announced(self, rest):
        size = rest.upper().partition(" SIZE=")[2].partition(" ")[0]
        return int(size) if size.isdigit() else 0

    def recipient(self, rest):
        address = rest.partition("<")[2].partition(">")[0].lower()
        local, _, domain = address.partition("@")
        if domain and domain not in self.host["serves"] and not domain.startswith("["):
            return self.answer("rcpt-foreign", "554 5.7.1 relay access denied")
        if local in ("postmaster", "abuse"):
            return self.answer("rcpt-" + local, "250 2.1.5 ok")
        if local in ("dmarc", "tlsrpt"):
            return "250 2.1.5 ok"
        return self.answer("rcpt-unknown", "550 5.1.1 no such user")

    def smtp_auth(self, rest):
        if self.port == 25 and "AUTH PLAIN LOGIN" not in self.capabilities([], [], [], ""):
            self.send("503 5.5.1 no authentication here")
        elif self.password_refused():
            self.send("530 5.7.0 must issue STARTTLS first")
        else:
            if " " not in rest:
                self.send("334 ")
                rest = self.line()
            self.send("501 5.7.0 cancelled" if rest == "*" else "535 5.7.8 no")

    # --- IMAP

    def imap(self):
        def listed():
            return "CAPABILITY " + " ".join(self.capabilities(
                ["IMAP4rev1", "SASL-IR", "ID", "ENABLE", "IDLE", "LITERAL+", "UIDPLUS", "NAMESPACE", "SPECIAL-USE"],
                ["LOGINDISABLED"], ["AUTH=PLAIN"], "STARTTLS"))
        self.send(self.answer("greeting", "* OK [$capability] $name ready").replace("$capability", listed()))
        while True:
            tag, _, rest = self.line().partition(" ")
            verb = rest.partition(" ")[0].upper()
            if verb == "CAPABILITY":
                self.send("* " + listed(), tag + " OK done")
            elif verb == "STARTTLS":
                self.upgrade(tag + " OK begin", tag + (" BAD not here" if self.starttls != "refused" else " NO TLS is not available"))
            elif verb == "AUTHENTICATE":
                if self.password_refused():
                    self.send(tag + " NO [PRIVACYREQUIRED] TLS first")
                    continue
                self.send("+ ")
                self.send(tag + (" BAD cancelled" if self.line() == "*" else " NO [AUTHENTICATIONFAILED] no"))
            elif verb == "LOGIN":
                self.send(tag + (" NO [PRIVACYREQUIRED] TLS first" if self.password_refused() else " NO [AUTHENTICATIONFAILED] no"))
            elif verb == "ID":
                self.send(self.answer("id", '* ID ("name" "scripted")'), tag + " OK done")
            elif verb == "LOGOUT":
                self.send("* BYE bye", tag + " OK done")
                return
            elif verb == "NOOP":
                self.send(tag + " OK done")
            else:
                self.send(tag + " BAD what?")

    # --- POP3

    def pop3(self):
        self.send(self.answer("greeting", "+OK $name ready"))
        while True:
            verb, _, rest = self.line().partition(" ")
            verb = verb.upper()
            if verb == "CAPA" and "capa" in self.options.get("answers", {}):
                self.send(self.answer("capa", ""))
            elif verb == "CAPA":
                self.send("+OK", *self.capabilities(["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"],
                                                    [], ["USER", "SASL PLAIN"], "STLS"), ".")
            elif verb == "STLS":
                self.upgrade("+OK begin", "-ERR not here" if self.starttls != "refused" else "-ERR [SYS/TEMP] TLS is not available")
            elif verb in ("AUTH", "USER") and self.password_refused():
                self.send("-ERR [SYS/PERM] TLS first")
            elif verb == "AUTH":
                self.send("+ ")
                self.line()
                self.send("-ERR cancelled")
            elif verb == "USER":
                self.send("+OK")
            elif verb == "QUIT":
                self.send("+OK bye")
                return
            elif verb == "NOOP":
                self.send("-ERR not yet")
            else:
                self.send("-ERR [AUTH] what?" if verb == "PASS" else "-ERR what?")

    # --- ManageSieve

    def sieve(self):
        def listing():
            self.send(*self.capabilities(['"IMPLEMENTATION" "scripted"', '"SIEVE" "fileinto envelope"', '"VERSION" "1.0"'],
                                         ['"SASL" ""'], ['"SASL" "PLAIN"'], '"STARTTLS"'), 'OK "ready"')
        listing()
        while True:
            verb = self.line().partition(" ")[0].upper()
            if verb == "CAPABILITY":
                listing()
            elif verb == "STARTTLS":
                if self.upgrade('OK "begin"', 'NO "not here"'):
                    listing()
            elif verb == "AUTHENTICATE":
                if self.password_refused():
                    self.send('NO (ENCRYPT-NEEDED) "TLS first"')
                    continue
                self.send('""')
                self.line()
                self.send('NO "cancelled"')
            elif verb == "LOGOUT":
                self.send('OK "bye"')
                return
            else:
                self.send('NO "what?"')


def serve(connection, host, port, options):
    connection.settimeout(120)
    session = Session(connection, host, port, options)
    try:
        session.run()
    except (Gone, OSError):
        pass
    finally:
        try:
            session.raw.close()
        except OSError:
            pass


def addresses_present():
    """The addresses of this container: some are given by the engine, the rest are added here."""
    shown = json.loads(subprocess.check_output(["ip", "-j", "address", "show"]))
    return {a["local"] for link in shown for a in link["addr_info"]}


def main():
    container = sys.argv[1]
    with open("/world/hosts.json") as source:
        hosts = [h for h in json.load(source) if h["container"] == container]
    present = addresses_present()
    chooser = selectors.DefaultSelector()
    for host in hosts:
        for address in host["addresses"]:
            if address not in present:
                six = ":" in address
                subprocess.check_call(["ip", "address", "add", address + ("/64" if six else "/24"), "dev", "eth0"]
                                      + (["nodad"] if six else []))
        for port, options in host["ports"].items():
            options["context"] = context(options)
            for address in options.get("only", host["addresses"]):
                own = {**options, **options.get("uneven", {}).get(address, {})}
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = socket.create_server((address, int(port)), family=family, backlog=64)
                chooser.register(listener, selectors.EVENT_READ, (host, int(port), own))
    # What the health check looks for: everything is listened on.
    _ready = socket.create_server(("127.0.0.1", 9), backlog=1)
    while True:
        for key, _ in chooser.select():
            connection, _ = key.fileobj.accept()
            threading.Thread(target=serve, args=(connection, *key.data), daemon=True).start()


main()
