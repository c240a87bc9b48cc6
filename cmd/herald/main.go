// A scanner must see what Go would rather not: small RSA keys, odd serials, SHA-1.
//go:debug rsa1024min=0
//go:debug x509negativeserial=1
//go:debug tlssha1=1

// Command herald finds out what really runs on a port.
//
// This package turns flags into calls: a file for each subcommand, and more that begin with its
// name where it has more than one idea. What the program can do lies in the packages beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit statuses.
const (
	exitDone    = 0
	exitTrouble = 1 // trouble of our own: a full disk, a defect
	exitUsage   = 2 // the user's input is wrong
)

// usageError is an error that the user can mend by writing something else.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

func main() {
	collectSeldom(1) // a start makes no garbage that would be worth a collection
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who interrupts a second time does not want to wait
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exitStatus is an error that only carries the status to end with.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintln(stderr, "herald:", err)
	if errors.As(err, &usageError{}) {
		return exitUsage
	}
	return exitTrouble
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "herald",
		Short: "find out what really runs on a port",
		Long: `Herald connects to a port, listens to the greeting, asks the few questions that a
polite client may ask before it has a user, and says which product and version
answers there, and why it says so. It never logs in uninvited, guesses passwords
or exploits.

Every flag can also be given as an environment variable: HERALD_TIMEOUT=5s is
--timeout 5s.

Exit status: 0 done, 1 done with trouble of our own, 2 wrong usage.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return flagsFromEnvironment(c.Flags(), os.LookupEnv) },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w (see 'herald %s --help')", err, strings.TrimPrefix(c.CommandPath(), "herald "))
	})
	root.AddCommand(scanCommand(), portsCommand(), probesCommand(), replayCommand(), identifyCommand(), signaturesCommand(), demoCommand(), versionCommand(),
		auditCommand(), mailCommand(), diffCommand(), waitCommand())
	root.Args = func(c *cobra.Command, given []string) error {
		if len(given) > 0 {
			return usagef("unknown command %q (see 'herald --help')", given[0])
		}
		return nil
	}
	root.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return root
}

// arguments are how many a command takes, beside its flags; most is -1 for any number. What
// they are is said where their number is wrong.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		switch {
		case len(given) < least:
			return usagef("%s: wants %s (see '%s --help')", c.Name(), what, c.CommandPath())
		case most >= 0 && len(given) > most:
			return usagef("%s: wants %s, and nothing more: %q (see '%s --help')", c.Name(), what, given[most], c.CommandPath())
		}
		return nil
	}
}

func noArguments(c *cobra.Command, given []string) error {
	if len(given) > 0 {
		return usagef("%s: takes no arguments: %q (see '%s --help')", c.Name(), given[0], c.CommandPath())
	}
	return nil
}

// flagsFromEnvironment sets every flag that was not given from HERALD_ and its name in
// upper case, hyphens as underscores.
func flagsFromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "HERALD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := lookup(name); ok && !f.Changed && f.Name != "help" && failed == nil {
			if err := flags.Set(f.Name, value); err != nil {
				failed = usagef("%s=%q: %w", name, value, err)
			}
		}
	})
	return failed
}
