package integration

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"herald/probes"
	"herald/scan"
	"herald/wire"
)

const dovecot = "< +OK Dovecot (Debian) ready.\\r\\n\n> CAPA\\r\\n\n< +OK\\r\\n\n< UIDL\\r\\n\n< .\\r\\n\n> QUIT\\r\\n\n< +OK Logging out\\r\\n\n. left\n"

func seen(t *testing.T, text string) *scan.Service {
	t.Helper()
	tr, err := wire.ReadTranscript("dovecot.txt", strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return scan.Replay(context.Background(), scan.Options{}, tr, scan.ReplayTarget(tr))
}

// What another file of the folder concludes already needs no file of its own.
func TestDueUnderAnotherName(t *testing.T) {
	dir := t.TempDir()
	first, err := RecordingOf(seen(t, dovecot), "first", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Write(dir); err != nil {
		t.Fatal(err)
	}
	other, err := RecordingOf(seen(t, strings.NewReplacer("Dovecot (Debian) ready.", "POP3 ready", "Logging out", "bye").Replace(dovecot)), "other", "")
	if err != nil {
		t.Fatal(err)
	}
	other.Transcript.Conclusions = append(other.Transcript.Conclusions, "product Other")
	if got, err := other.Due(os.DirFS(dir)); err != nil || got != "there is none" {
		t.Errorf("another server: %q, %v", got, err)
	}
	first.Name = "second"
	if got, err := first.Due(os.DirFS(dir)); err != nil || got != "" {
		t.Errorf("the same server: %q, %v", got, err)
	}
}

// A file is rewritten only if the old one now concludes something else.
func TestDue(t *testing.T) {
	for _, c := range []struct{ name, old, want string }{
		{"none there", "", "there is none"},
		{"the same", dovecot + "= confirmed pop3\n= product Dovecot\n", ""},
		{"other words, same conclusion", strings.Replace(dovecot, "UIDL", "TOP", 1) + "= confirmed pop3\n= product Dovecot\n", ""},
		{"the signatures say otherwise", dovecot + "= confirmed pop3\n= product Courier\n", "= product Courier: it is Dovecot"},
		{"the probe asks otherwise", strings.Replace(dovecot, "> CAPA", "> NOOP", 1) + "= confirmed pop3\n", "= confirmed pop3: it is pop3, confirmed false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "pop3", "dovecot-2.3.19.txt")
			if c.old != "" {
				if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(c.old), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			r, err := RecordingOf(seen(t, dovecot), "dovecot-2.3.19", "Dovecot 2.3.19")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := r.Due(os.DirFS(dir)); err != nil || got != c.want {
				t.Fatalf("due: %q, %v; want %q", got, err, c.want)
			}
			if err := r.Write(dir); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Due(os.DirFS(dir)); err != nil || got != "" {
				t.Errorf("just written, and due again: %q, %v", got, err)
			}
			text, err := os.ReadFile(file)
			if want := "# Dovecot 2.3.19\n" + dovecot + "= confirmed pop3\n= product Dovecot\n"; err != nil || string(text) != want {
				t.Errorf("%v, written:\n%s\nwant:\n%s", err, text, want)
			}
		})
	}
}

func TestWhatWasNotUnderstoodIsNotRecorded(t *testing.T) {
	if r, err := RecordingOf(seen(t, "< zzz\n. left\n"), "x", "x"); err == nil {
		t.Errorf("recorded as %s/%s", r.Probe, r.Name)
	}
}

func TestRecordingNames(t *testing.T) {
	testdata, err := fs.Sub(probes.Recordings, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ probe, server, version, suffix, want string }{
		{"pop3", "dovecot", "", "", "dovecot-2.3.19"},
		{"pop3", "dovecot", "", "tls", "dovecot-2.3.19-tls"},
		{"ftp", "vsftpd", "3.0.3", "", "vsftpd-3.0.3"},
		{"smtp", "postfix", "", "submission", "postfix-3.7.11-submission"},
		{"smtp", "postfix", "", "", "postfix-3.7.11"},
		{"smtp", "nobody", "", "tls", "nobody-tls"},
	} {
		if got := NameIn(testdata, c.probe, []string{c.server, "other"}, c.version, c.suffix); got != c.want {
			t.Errorf("%s of %s %s %s: %s, want %s", c.probe, []string{c.server, "other"}, c.version, c.suffix, got, c.want)
		}
	}
}
