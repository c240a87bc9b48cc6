package report

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// Reasons for every recorded server keep to the width, say what is told, and tell of near
// misses only where no product is named, of three at most.
func TestWhyOfEveryRecording(t *testing.T) {
	files, err := fs.Glob(probes.Recordings, "testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	const width = 64
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			tr, err := wire.ReadRecording(probes.Recordings, file)
			if err != nil {
				t.Fatal(err)
			}
			s := scan.Replay(context.Background(), scan.Options{}, tr, scan.ReplayTarget(tr))
			var b strings.Builder
			if err := Why(&b, WhyOptions{Signatures: fingerprint.Builtin(), Width: width}, s); err != nil {
				t.Fatal(err)
			}
			reasons, _, _ := strings.Cut(b.String(), "  a signature to be completed\n") // as it is to be copied
			near := 0
			for line := range strings.Lines(reasons) {
				line = strings.TrimSuffix(line, "\n")
				word := strings.TrimPrefix(strings.TrimSpace(line), "cpe ") // one that is too long can not be broken
				if n := text.StringWidthWithoutEscSequences(line); n > width && strings.Contains(word, " ") {
					t.Errorf("%d columns: %s", n, line)
				}
				for _, r := range line {
					if !printable(r) {
						t.Errorf("%q is not printable in %q", r, line)
					}
				}
				if strings.HasPrefix(line, "      goes along with ") {
					near++
				}
			}
			product := s.Claim("product")
			switch {
			case product != "" && near > 0:
				t.Errorf("it is %s, and %d near misses are told", product, near)
			case near > 3:
				t.Errorf("%d near misses", near)
			case product != "" && !toldOf(reasons, Printable(product, 20)):
				t.Errorf("the product %s is not among what is claimed:\n%s", product, reasons)
			}
		})
	}
}

// toldOf says whether the product is the first of what is claimed.
func toldOf(reasons, product string) bool {
	_, claims, found := strings.Cut(reasons, "  what is claimed\n")
	first, _, _ := strings.Cut(claims, "\n")
	rest, isProduct := strings.CutPrefix(strings.TrimSpace(first), "product")
	return found && isProduct && strings.HasPrefix(strings.TrimSpace(rest), strings.TrimSuffix(product, "…"))
}
