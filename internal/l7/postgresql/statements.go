package postgresql

import "strings"

const (
	// maxStatements and maxStatementBytes bound what is remembered of prepared
	// statements: JDBC and Npgsql keep 256 and 100 of a connection by default.
	maxStatements     = 512
	maxStatementBytes = 256 << 10
	// statementCost is what one takes beside its text.
	statementCost = 200
	// maxPortals is how many named portals are remembered: drivers open one for
	// each cursor that the program reads in parts.
	maxPortals = 16
	// maxNameLen: longer names are not remembered. PostgreSQL cuts identifiers
	// at 63, drivers count in theirs.
	maxNameLen = 128
)

// statements is what the client has prepared and bound. The unnamed ones are
// replaced by the next.
type statements struct {
	named   map[string]*statement
	order   []string // of named, oldest first; names that are gone may be in it
	bytes   int
	unnamed statement
	older   statement  // the unnamed one before, if it still is bound
	known   bool       // unnamed is
	bound   *statement // by the unnamed portal; nil: unknown
	portals [maxPortals]portal
	next    int
}

type portal struct {
	name string
	st   *statement
}

// doubt: messages were lost. Names of statements are not used twice by any
// driver, so these stay.
func (s *statements) doubt() {
	s.known, s.bound = false, nil
	s.portals = [maxPortals]portal{}
}

// prepare remembers st.
func (s *statements) prepare(name []byte, st statement) {
	if len(name) == 0 {
		if s.bound == &s.unnamed {
			s.older = s.unnamed // bound before, executed after
			s.bound = &s.older
		}
		s.unnamed, s.known = st, true
		return
	}
	s.close(name)
	if len(name) > maxNameLen {
		return
	}
	kept := st // the unnamed ones stay off the heap
	kept.own()
	for len(s.order) > 0 && (len(s.named) >= maxStatements || s.bytes+kept.size() > maxStatementBytes || len(s.order) >= 2*maxStatements) {
		s.remove(s.order[0])
		s.order = s.order[1:]
	}
	if s.named == nil {
		s.named = map[string]*statement{}
	}
	n := strings.Clone(string(name))
	s.named[n] = &kept
	s.bytes += kept.size()
	s.order = append(s.order, n)
}

// close forgets a statement.
func (s *statements) close(name []byte) {
	if len(name) == 0 {
		s.known = false
		return
	}
	if _, ok := s.named[string(name)]; !ok {
		return
	}
	for i, n := range s.order {
		if n == string(name) {
			s.order = append(s.order[:i], s.order[i+1:]...)
			break
		}
	}
	s.remove(string(name))
}

func (s *statements) remove(name string) {
	if st, ok := s.named[name]; ok {
		s.bytes -= st.size()
		delete(s.named, name)
	}
}

// find is the statement of that name, nil if it was prepared unseen.
func (s *statements) find(name []byte) *statement {
	if len(name) > 0 {
		return s.named[string(name)]
	}
	if s.known {
		return &s.unnamed
	}
	return nil
}

// bind makes portal a name of what name is now.
func (s *statements) bind(to, name []byte) {
	st := s.find(name)
	if len(to) == 0 {
		s.bound = st
		return
	}
	if st == &s.unnamed {
		c := s.unnamed
		st = &c
	}
	for i := range s.portals {
		if s.portals[i].name == string(to) {
			s.portals[i].st = st
			return
		}
	}
	if st == nil || len(to) > maxNameLen {
		return
	}
	s.portals[s.next] = portal{string(to), st}
	s.next = (s.next + 1) % maxPortals
}

// in is what is bound to a portal.
func (s *statements) in(name []byte) *statement {
	if len(name) == 0 {
		return s.bound
	}
	for i := range s.portals {
		if s.portals[i].name == string(name) {
			return s.portals[i].st
		}
	}
	return nil
}
