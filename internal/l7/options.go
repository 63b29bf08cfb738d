package l7

// Options are what the configuration says to every parser. They are read-only
// once the first parser exists. Nil pointers mean the defaults.
type Options struct {
	// Propagation finds ids of other tracers in headers.
	Propagation *Propagation
	// RequestHeaders and ResponseHeaders are the headers, in lower case, that
	// become http.request.header.<name> and http.response.header.<name>.
	RequestHeaders  map[string]bool
	ResponseHeaders map[string]bool
	// KeepLiterals leaves SQL literals, Redis values and query string values as
	// they are. Off by default: they are where personal data lives.
	KeepLiterals bool
	// MaxText bounds Target and Error, in bytes.
	MaxText int
	// Paths makes routes of URL paths; nil: DefaultPaths.
	Paths *Paths
	// Rules are those of the configuration; nil: none.
	Rules *Rules
	// Extract is those of Rules that apply to this protocol and port. The engine
	// sets it.
	Extract *Extract
	// Shared is what Protocol.Shared made for this engine; nil: every connection
	// is on its own.
	Shared any
}

// DefaultOptions redacts, and knows the public propagation formats.
func DefaultOptions() *Options {
	return &Options{Propagation: DefaultPropagation(), MaxText: 2048, Paths: DefaultPaths()}
}

// Header looks whether a header, of any case, carries an id, or is what a rule
// asks for. It reports whether it did, or was.
func (o *Options) Header(m *Message, name, value []byte) bool {
	found := o.Propagation.Header(&m.Trace, m.Text, name, value)
	if o.Extract != nil {
		found = o.Extract.Header(m, name, value) || found
	}
	return found
}

// With is o for connections to which x applies.
func (o *Options) With(x *Extract) *Options {
	own := *o
	own.Extract, own.Propagation = x, o.Propagation.asking(x.names())
	return &own
}
