package bridge

import (
	"errors"
	"net/http"
)

// get writes what belongs to a session and to none of its calls.
func (b *Bridge) get(w http.ResponseWriter, r *http.Request, s *session) {
	if !accepts(r.Header, typeEvents) {
		fail(w, http.StatusNotAcceptable, nil, codeInvalidRequest, "the header Accept must name "+typeEvents)
		return
	}
	if !s.open() {
		fail(w, http.StatusConflict, nil, codeInvalidRequest, "this session has an open stream already")
		return
	}
	defer s.close()
	events := b.startEvents(w, nil)
	for {
		if lost := s.stream.takeLost(); lost > 0 {
			b.opts.Log.Warn("messages were lost because the caller did not read them", "session", s.name, "count", lost)
		}
		d, err := next(r.Context(), s.stream, b.opts.times.keepAlive)
		switch {
		case errors.Is(err, errSilent):
			if events.comment() != nil {
				return
			}
			continue
		case err != nil:
			return
		}
		if events.write(d.data) != nil {
			s.stream.unpop(d)
			return
		}
	}
}
