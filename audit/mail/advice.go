package mail

import "strings"

// advice is what to change, by the product that the server named itself; "" holds for
// all others. Settings are those of the products' own manuals.
var advice = map[string]map[string]string{
	"no-plain-smtp": {
		"":                    "offer AUTH only inside TLS",
		"Postfix":             "Postfix, main.cf: smtpd_tls_auth_only = yes",
		"Exim":                "Exim, main section: auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}, and server_advertise_condition = ${if def:tls_in_cipher} in each authenticator",
		"OpenSMTPD":           "OpenSMTPD, smtpd.conf: listen on … port submission tls-require auth",
		"Sendmail":            "Sendmail, sendmail.mc: define(`confAUTH_OPTIONS', `A p y')",
		"Courier Mail Server": "Courier, esmtpd: ESMTPAUTH=\"\" and only ESMTPAUTH_TLS=\"PLAIN LOGIN …\"",
		"Haraka":              "Haraka, config/auth_flat_file.ini or the plugin that authenticates: offer AUTH only where connection.tls.enabled",
		"Dovecot":             "Dovecot: auth_allow_cleartext = no (2.4), disable_plaintext_auth = yes (2.3 and before)",
		"Stalwart":            "Stalwart: session.auth.mechanisms conditioned on is_tls",
	},
	"no-plain-imap": {
		"":        "refuse logins before TLS: announce LOGINDISABLED, and no AUTH=PLAIN",
		"Dovecot": "Dovecot: auth_allow_cleartext = no (2.4), disable_plaintext_auth = yes (2.3 and before); or close the port: port = 0 in its inet_listener",
		"Cyrus":   "Cyrus, imapd.conf: allowplaintext: 0",
		"Courier": "Courier, imapd-ssl: IMAP_TLS_REQUIRED=1",
	},
	"no-plain-pop3": {
		"":        "refuse USER and SASL PLAIN before STLS",
		"Dovecot": "Dovecot: auth_allow_cleartext = no (2.4), disable_plaintext_auth = yes (2.3 and before)",
		"Cyrus":   "Cyrus, imapd.conf: allowplaintext: 0",
		"Courier": "Courier, pop3d-ssl: POP3_TLS_REQUIRED=1",
	},
	"no-plain-sieve": {
		"":        "announce an empty SASL list before STARTTLS",
		"Dovecot": "Dovecot: auth_allow_cleartext = no (2.4), disable_plaintext_auth = yes (2.3 and before)",
		"Cyrus":   "Cyrus, imapd.conf: allowplaintext: 0, sieve_allowplaintext: 0",
	},
	"starttls-smtp": {
		"":                    "give the server a certificate, and have it offer STARTTLS; look for a firewall that rewrites SMTP",
		"Postfix":             "Postfix, main.cf: smtpd_tls_security_level = may, smtpd_tls_chain_files = /path/key-and-chain.pem",
		"Exim":                "Exim, main section: tls_advertise_hosts = *, tls_certificate = /path/fullchain.pem, tls_privatekey = /path/key.pem",
		"OpenSMTPD":           "OpenSMTPD, smtpd.conf: pki NAME cert \"…\", pki NAME key \"…\", and listen on … tls pki NAME",
		"Sendmail":            "Sendmail, sendmail.mc: define(`confSERVER_CERT', …) and define(`confSERVER_KEY', …)",
		"Courier Mail Server": "Courier, esmtpd: ESMTP_TLS_REQUIRED is not needed, TLS_CERTFILE is; and COURIERTLS must be installed",
	},
	"demands-tls": {
		"":                    "take mail without TLS on port 25, and offer it: MTA-STS and DANE keep it from being stripped",
		"Postfix":             "Postfix, main.cf: smtpd_tls_security_level = may (encrypt belongs to submission in master.cf)",
		"Exim":                "Exim: look for a condition on $tls_in_cipher in acl_smtp_mail or acl_smtp_rcpt",
		"OpenSMTPD":           "OpenSMTPD, smtpd.conf: listen on … port 25 tls, not tls-require",
		"Sendmail":            "Sendmail: look for TLS_Clt or VERIFY in /etc/mail/access, and confAUTH_OPTIONS",
		"Courier Mail Server": "Courier, esmtpd: ESMTP_TLS_REQUIRED=0",
	},
	"size": {
		"":        "refuse what SIZE= announces beyond the limit: a proxy that answers MAIL by itself has to know the limit of the server behind it",
		"Postfix": "Postfix, main.cf: message_size_limit is what it offers and refuses by; look for a proxy or a filter before it that answers MAIL by itself",
		"Exim":    "Exim, main section: message_size_limit is what it offers and refuses by; look for a proxy before it that answers MAIL by itself",
	},
	"starttls-imap": {
		"":        "give the server a certificate and have it offer STARTTLS, or close the port and serve 993 alone (RFC 8314, 4.1)",
		"Dovecot": "Dovecot: ssl = required, ssl_server_cert_file and ssl_server_key_file (2.4), ssl_cert and ssl_key (2.3)",
		"Cyrus":   "Cyrus, imapd.conf: tls_server_cert, tls_server_key",
		"Courier": "Courier, imapd-ssl: IMAPDSTARTTLS=YES, TLS_CERTFILE",
	},
	"starttls-pop3": {
		"":        "give the server a certificate and have it offer STLS, or close the port and serve 995 alone (RFC 8314, 4.1)",
		"Dovecot": "Dovecot: ssl = required, ssl_server_cert_file and ssl_server_key_file (2.4), ssl_cert and ssl_key (2.3)",
		"Cyrus":   "Cyrus, imapd.conf: tls_server_cert, tls_server_key",
		"Courier": "Courier, pop3d-ssl: POP3_STARTTLS=YES, TLS_CERTFILE",
	},
	"starttls-sieve": {
		"":        "give the server a certificate and have it offer STARTTLS",
		"Dovecot": "Dovecot: ssl = required, ssl_server_cert_file and ssl_server_key_file (2.4), ssl_cert and ssl_key (2.3)",
		"Cyrus":   "Cyrus, imapd.conf: tls_server_cert, tls_server_key",
	},
	"chain": {
		"":          "serve the leaf with its intermediates, leaf first, without the root",
		"Postfix":   "Postfix, main.cf: smtpd_tls_chain_files = key, then fullchain.pem; postfix reload",
		"Exim":      "Exim: tls_certificate = …/fullchain.pem",
		"Dovecot":   "Dovecot: ssl_server_cert_file = …/fullchain.pem (2.4), ssl_cert = <…/fullchain.pem (2.3); doveadm reload",
		"Cyrus":     "Cyrus, imapd.conf: tls_server_cert: …/fullchain.pem",
		"OpenSMTPD": "OpenSMTPD, smtpd.conf: pki NAME cert \"…/fullchain.pem\"",
	},
	"reload": {
		"":          "renew the certificate, and have the server load it",
		"Postfix":   "renew the certificate, then postfix reload",
		"Exim":      "renew the certificate; Exim reads the file for every connection",
		"Dovecot":   "renew the certificate, then doveadm reload",
		"Cyrus":     "renew the certificate, then restart cyrus-imapd",
		"OpenSMTPD": "renew the certificate, then restart smtpd",
	},
	"relay": {
		"":          "accept recipients of foreign domains only from those who have logged in, or from your own networks",
		"Postfix":   "Postfix, main.cf: smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination; and look at mynetworks",
		"Exim":      "Exim: look at hostlist relay_from_hosts and domainlist relay_to_domains, and the order of acl_check_rcpt",
		"OpenSMTPD": "OpenSMTPD, smtpd.conf: match auth from any for any action …, never match from any for any",
		"Sendmail":  "Sendmail: remove promiscuous_relay; look at /etc/mail/access and relay-domains",
	},
	"vrfy": {
		"":         "answer VRFY with 252 or 502 for every name",
		"Postfix":  "Postfix, main.cf: disable_vrfy_command = yes",
		"Exim":     "Exim: no acl_smtp_vrfy (the default), or one that denies",
		"Sendmail": "Sendmail, sendmail.mc: define(`confPRIVACY_FLAGS', `goaway')",
	},
	"unknown-user": {
		"":        "refuse unknown recipients at RCPT (550 5.1.1), so that no bounce goes to a forged sender",
		"Postfix": "Postfix, main.cf: local_recipient_maps and relay_recipient_maps must be set; smtpd_reject_unlisted_recipient = yes; remove luser_relay and catch-alls",
		"Exim":    "Exim: require verify = recipient in acl_check_rcpt",
	},
	"name": {
		"":          "set the server's own name to the one that its address resolves to",
		"Postfix":   "Postfix, main.cf: myhostname = the host's full name",
		"Exim":      "Exim: primary_hostname = the host's full name",
		"OpenSMTPD": "OpenSMTPD, smtpd.conf: listen on … hostname NAME, or /etc/mail/mailname",
		"Sendmail":  "Sendmail, sendmail.mc: define(`confDOMAIN_NAME', …)",
	},
	"old-tls": {
		"":          "allow TLS 1.2 and 1.3 alone",
		"Postfix":   "Postfix, main.cf: smtpd_tls_protocols = >=TLSv1.2, smtpd_tls_mandatory_protocols = >=TLSv1.2, smtpd_tls_ciphers = high, smtpd_tls_exclude_ciphers = aNULL, RC4, 3DES",
		"Exim":      "Exim: openssl_options = +no_sslv2 +no_sslv3 +no_tlsv1 +no_tlsv1_1, or tls_require_ciphers for GnuTLS",
		"Dovecot":   "Dovecot: ssl_min_protocol = TLSv1.2, ssl_cipher_list = …",
		"Cyrus":     "Cyrus, imapd.conf: tls_versions: tls1_2 tls1_3",
		"OpenSMTPD": "OpenSMTPD, smtpd.conf: listen on … ciphers \"…\" protocols \"TLSv1.2 TLSv1.3\"",
	},
	"injection": {
		"":        "update the server: after STARTTLS, what was buffered in the clear must be thrown away",
		"Postfix": "update Postfix: fixed in 2.8.3 and its siblings of 2011",
		"Exim":    "update Exim: fixed before 4.94.2",
		"Courier": "update Courier: fixed in 1.1.5 and later of 2021",
	},
	"author-address": {
		"":        "leave the author's address out of the Received field of what is submitted",
		"Postfix": "Postfix: give the submission ports a cleanup service of their own (cleanup_service_name) with header_checks that say /^Received:.*with ESMTPSA/ IGNORE",
		"Exim":    "Exim, main section: received_header_text that leaves $sender_fullhost out where $authenticated_id is set",
	},
	"idle": {
		"":        "look at how the server learns of deliveries",
		"Dovecot": "Dovecot: deliver by LMTP or dovecot-lda, and look at mailbox_idle_check_interval and the limits of inotify",
		"Cyrus":   "Cyrus, cyrus.conf: START { idled cmd=\"idled\" }, or a smaller imapidlepoll in imapd.conf",
	},
}

// sinks are products that take every message on purpose, to show it to a developer.
var sinks = []string{"Mailpit", "MailHog", "GreenMail", "MailCatcher", "smtp4dev", "inbucket", "Inbucket", "Papercut", "aiosmtpd", "nodemailer smtp-server", "FakeSMTP", "MailDev", "Python smtpd"}

// mend is what to change on a service.
func (j *judge) mend(s *Service, topic string) string {
	by := advice[topic]
	name := j.product(s).name
	if text, ok := by[name]; ok {
		return text
	}
	for known, text := range by { // "Dovecot" of "Dovecot Pro", "Courier" of "Courier-IMAP"
		if known != "" && strings.HasPrefix(name, known) {
			return text
		}
	}
	return by[""]
}
