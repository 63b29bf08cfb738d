package semconv

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// goFiles are the Go files below dir, tests left out; none if dir is not there.
func goFiles(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path == dir:
			return filepath.SkipDir
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "semconv" || d.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
