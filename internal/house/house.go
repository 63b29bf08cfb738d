// Package house knows which package may import which: the rooms of docs/house.md
// and the doors between them. Its test reads the imports that `go list` reports.
// A new door is one line in rooms, and is discussed.
package house

import (
	"fmt"
	"sort"
	"strings"
)

// Module is the path of the one module that everything lives in.
const Module = "github.com/hopscope/hopscope"

// Room is a folder, or a pattern of folders, and what of ours it may import.
type Room struct {
	// Path is relative to the module. With a last element * it stands for each
	// folder one below, with ** for the folder and all below it.
	Path string
	// Doors are the rooms that may be imported, in the same notation. What lies
	// inside a room is open to that room.
	Doors []string
}

// Package is one package, its path relative to the module ("." is the root),
// and what of ours it imports, its tests not counted.
type Package struct {
	Path    string
	Imports []string
}

// Check gives one complaint per import that has no door, per package that is in
// no room, sorted. When two rooms match a package, the first one counts.
func Check(rooms []Room, packages []Package) []string {
	var out []string
	for _, p := range packages {
		room, ok := roomOf(rooms, p.Path)
		if !ok {
			out = append(out, fmt.Sprintf("%s: no such room: give it a line in internal/house/rooms.go", p.Path))
			continue
		}
		for _, imp := range p.Imports {
			if !open(room, imp) {
				out = append(out, fmt.Sprintf("%s imports %s: no such door", p.Path, imp))
			}
		}
	}
	sort.Strings(out)
	return out
}

func roomOf(rooms []Room, path string) (Room, bool) {
	for _, r := range rooms {
		if matches(r.Path, path) {
			return r, true
		}
	}
	return Room{}, false
}

func open(r Room, imp string) bool {
	// A pattern is many rooms, each closed to the others; a plain path, or **,
	// is one room with all that lies below it.
	if base, many := strings.CutSuffix(r.Path, "/*"); !many {
		base = strings.TrimSuffix(base, "/**")
		if within(base, imp) {
			return true
		}
	}
	for _, d := range r.Doors {
		if matches(d, imp) {
			return true
		}
	}
	return false
}

// matches tells whether path is one of the pattern's, as Room.Path has it.
func matches(pattern, path string) bool {
	if base, ok := strings.CutSuffix(pattern, "/**"); ok {
		return within(base, path)
	}
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		rest, ok := strings.CutPrefix(path, base+"/")
		return ok && rest != "" && !strings.Contains(rest, "/")
	}
	return path == pattern
}

func within(base, path string) bool {
	return path == base || strings.HasPrefix(path, base+"/")
}
