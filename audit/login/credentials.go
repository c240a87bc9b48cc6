package login

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

// Credentials are a user's name and password. They come from the environment
// (HERALD_LOGIN_NAME_USER and HERALD_LOGIN_NAME_PASSWORD) or from a file that only its
// owner can read, never from a command line, which everybody on the machine can read.
type Credentials struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

// String masks the password, and so does every way of fmt.
func (c Credentials) String() string   { return c.User + ":" + "<masked>" }
func (c Credentials) GoString() string { return c.String() }

// Secrets are the forms in which the password is said.
func (c Credentials) Secrets() [][]byte {
	if c.Password == "" {
		return nil
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.Password) // RFC 9051, 9: quoted
	all := [][]byte{[]byte(c.Password)}
	if quoted != c.Password {
		all = append(all, []byte(quoted))
	}
	for _, form := range []string{c.Password, c.User + ":" + c.Password, "\x00" + c.User + "\x00" + c.Password} {
		all = append(all, []byte(base64.StdEncoding.EncodeToString([]byte(form))))
	}
	return all
}

// check refuses what would be a second command in disguise; not every library does.
func (c Credentials) check() error {
	switch {
	case c.User == "" || c.Password == "":
		return errors.New("user and password must not be empty")
	case strings.ContainsAny(c.User+c.Password, "\r\n\x00"):
		return errors.New("no line break and no NUL may be in user or password")
	}
	return nil
}

// ErrCredentials says that there are no usable credentials: the user has to give them.
var ErrCredentials = errors.New("no credentials")

// Store gives credentials by their name.
type Store struct {
	env  func(string) string
	file map[string]Credentials
}

// NewStore reads credentials from a file, "" for none, beside those of the environment.
// The file is YAML, a user and a password by name:
//
//	alice: {user: alice@example.org, password: ...}
//
// Nobody but its owner may read it.
func NewStore(file string, env func(string) string) (*Store, error) {
	s := &Store{env: env}
	if file == "" {
		return s, nil
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if err := private(info); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	const most = 1 << 20 // bytes
	data, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := yaml.UnmarshalWithOptions(data, &s.file, yaml.Strict()); err != nil {
		// The library quotes the lines around the place: they hold passwords.
		return nil, fmt.Errorf("%s: not a map of names to user and password", file)
	}
	for name, c := range s.file {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", file, name, err)
		}
	}
	return s, nil
}

func private(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("no regular file")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("mode %04o: others can read the passwords; chmod 600", mode)
	}
	return nil
}

// Get gives the credentials of that name; the environment comes before the file.
func (s *Store) Get(name string) (Credentials, error) {
	user, password := variables(name)
	c := Credentials{s.env(user), s.env(password)}
	if c == (Credentials{}) {
		found, ok := s.file[name]
		if !ok {
			return c, fmt.Errorf("credentials %q: set %s and %s, or give a credentials_file that has them", name, user, password)
		}
		return found, nil
	}
	if err := c.check(); err != nil {
		return Credentials{}, fmt.Errorf("%s, %s: %w", user, password, err)
	}
	return c, nil
}

// variables are the names of environment variables for credentials.
func variables(name string) (user, password string) {
	stem := "HERALD_LOGIN_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	return stem + "_USER", stem + "_PASSWORD"
}
