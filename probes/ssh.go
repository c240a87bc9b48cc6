package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// SSH speaks the beginning of the Secure Shell protocol: identification lines and the
// lists of algorithms. It never exchanges a key and so never comes near to a login.
var SSH = add(ssh{})

type ssh struct{}

var sshInfo = Info{
	Name:  "ssh",
	Title: "Secure Shell",
	Refs:  []string{"RFC 4253", "RFC 4250", "RFC 8308"},
	Ports: []Port{{22, wire.Plain}, {2222, wire.Plain}},
	Keys: []Key{
		{"ssh.before", "lines before the identification"},
		{"ssh.identification", "identification line"},
		{"ssh.kex", "key exchange methods, comma list in order"},
		{"ssh.hostkey", "host key algorithms"},
		{"ssh.cipher", "ciphers, server to client"},
		{"ssh.mac", "message authentication codes, server to client"},
		{"ssh.compression", "compression methods, server to client"},
	},
}

const (
	sshIdentification = "SSH-2.0-Herald" // RFC 4253, 4.2: no space and no hyphen in the version
	sshMostLines      = 50               // before the identification
	sshMostPacket     = 35000            // bytes, RFC 4253, 6.1
	sshDisconnect     = 1                // message numbers: RFC 4250, 4.1.2
	sshKexInit        = 20
)

func (ssh) Info() *Info { return &sshInfo }

func (ssh) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, []byte("SSH-")) || bytes.Contains(greeting, []byte("\nSSH-2.0-")) {
		return Sure
	}
	return Unlike
}

func (s ssh) Overhear(asked string, answer []byte) Likeness { return s.Recognize(answer) }

func (ssh) Converse(c *wire.Conversation, o *Observation) error {
	id, err := sshIdentify(c, o)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(id, []byte("SSH-2.0-")) && !bytes.HasPrefix(id, []byte("SSH-1.99-")) {
		o.Confirmed = true
		return nil // version 1 alone: it would take what we say for its own
	}
	if err := c.Send(sshIdentification); err != nil {
		return err
	}
	packet, err := sshPacket(c)
	if err != nil {
		return err
	}
	if len(packet) > 0 && packet[0] == sshDisconnect {
		o.Confirmed, o.Declined = true, true
		return nil
	}
	lists, ok := sshLists(packet)
	if !ok {
		return c.Malformed("KEXINIT is message 20 with ten name lists", packet)
	}
	o.Confirmed = true
	o.Note("ssh.kex", lists[0])
	o.Note("ssh.hostkey", lists[1])
	o.Note("ssh.cipher", lists[3])
	o.Note("ssh.mac", lists[5])
	o.Note("ssh.compression", lists[7])
	// A server that closed meanwhile does not miss our goodbye.
	_ = c.Say(sshGoodbye())
	return nil
}

// sshIdentify reads up to the identification line. Other lines may stand before it.
func sshIdentify(c *wire.Conversation, o *Observation) ([]byte, error) {
	var before []byte
	for range sshMostLines {
		line, err := c.ReadLine()
		if err != nil {
			o.Note("ssh.before", before)
			return nil, err
		}
		if bytes.HasPrefix(line, []byte("SSH-")) {
			o.Note("ssh.before", before)
			o.Note("ssh.identification", line)
			return line, nil
		}
		before = append(before, line...)
	}
	return nil, fmt.Errorf("no identification in %d lines: %w", sshMostLines, ErrOtherProtocol)
}

// sshPacket reads a packet in the clear (RFC 4253, 6) and returns its payload.
func sshPacket(c *wire.Conversation) ([]byte, error) {
	head, err := c.Peek(5)
	if err != nil {
		return nil, err
	}
	length, padding := binary.BigEndian.Uint32(head), uint32(head[4])
	if length > sshMostPacket || length < padding+2 {
		return nil, c.Malformed("a packet has a length, padding and a payload", head)
	}
	packet, err := c.ReadFull(4 + int(length))
	if err != nil {
		return nil, err
	}
	return packet[5 : 4+length-padding], nil
}

// sshLists are the ten name lists of a KEXINIT (RFC 4253, 7.1): after the message's number
// and a cookie of 16 bytes; two flags of five bytes follow.
func sshLists(payload []byte) (lists [10][]byte, ok bool) {
	if len(payload) < 17 || payload[0] != sshKexInit {
		return lists, false
	}
	rest := payload[17:]
	for i := range lists {
		if len(rest) < 4 {
			return lists, false
		}
		n := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(n) > uint64(len(rest)) {
			return lists, false
		}
		lists[i], rest = rest[:n:n], rest[n:]
	}
	return lists, len(rest) == 5
}

// sshGoodbye is a DISCONNECT packet (RFC 4253, 11.1) with reason 11, by application.
func sshGoodbye() []byte {
	const text = "identified, thank you"
	payload := []byte{sshDisconnect, 0, 0, 0, 11}
	payload = append(binary.BigEndian.AppendUint32(payload, uint32(len(text))), text...)
	payload = binary.BigEndian.AppendUint32(payload, 0) // language tag
	const block = 8                                     // RFC 4253, 6: in the clear the packet is a multiple of this
	padding := block - (5+len(payload))%block
	if padding < 4 {
		padding += block
	}
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	packet = append(append(packet, byte(padding)), payload...)
	return append(packet, make([]byte, padding)...)
}
