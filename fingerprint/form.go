package fingerprint

import (
	"bytes"
	"regexp"
	"unicode/utf8"
)

// form is how a text is prepared before patterns read it. Ours read texts as they were sent, a
// byte a character. Recog's were written for texts that are UTF-8 where they can be, from which
// earlier programs had cut the protocol's own words.
type form string

const (
	asSent         form = ""
	utf8Text       form = "utf-8"
	trimmed        form = "trimmed"        // without white space at either end
	reply          form = "reply"          // without the code at the beginning of each line, "220 " or "220-"
	status         form = "status"         // without "+OK ", "* OK "
	identification form = "identification" // of SSH, without "SSH-2.0-"
)

func (f form) alphabet() alphabet {
	if f == asSent {
		return latin1Alphabet
	}
	return asciiAlphabet
}

// decode returns the characters that patterns read; for the buffer see latin1.
func (f form) decode(raw []byte) (text []byte, buffer *[]byte) {
	if f != asSent && utf8.Valid(raw) {
		return raw, nil
	}
	return latin1(raw)
}

var (
	replyCode      = regexp.MustCompile(`(?m)^[0-9]{3}[ -]`)
	statusWord     = regexp.MustCompile(`^(?:\+OK|-ERR|\* (?:OK|PREAUTH|BYE)) *`)
	sshVersionPart = regexp.MustCompile(`^SSH-[0-9.]+-`)
)

// of returns the text in this form; it may share memory with sent, which is not changed.
func (f form) of(sent []byte) []byte {
	switch f {
	case trimmed:
		return bytes.TrimSpace(sent)
	case reply:
		return bytes.TrimSpace(replyCode.ReplaceAll(sent, nil))
	case status:
		return bytes.TrimSpace(sent[len(statusWord.Find(sent)):])
	case identification:
		return bytes.TrimSpace(sent[len(sshVersionPart.Find(sent)):])
	}
	return sent
}
