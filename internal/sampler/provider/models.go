package provider

import (
	"errors"
	"mime"
	"net/http"
)

// CurrentKey is the key of this moment, empty where none is to be sent. The
// error is an *Error.
func (o *Options) CurrentKey() (string, error) {
	if o.Key == nil {
		return "", nil
	}
	key, err := o.Key()
	if err == nil && key != "" {
		return key, nil
	}
	var known *Error
	if errors.As(err, &known) {
		return "", known
	}
	return "", &Error{Kind: KindMissingKey, Detail: "there is no key", Cause: err}
}

// AskForModels sends req, which asks for the list of models, for a Probe.
// refused says what another status means that is no success.
func (o *Options) AskForModels(req *http.Request, refused func(*http.Response) *Error) error {
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return FromTransport(req.Context(), err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		// A web site answers whatever it is asked.
		if mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && mediaType == "text/html" {
			return &Error{Kind: KindInvalid, Status: resp.StatusCode, Detail: "it answers with a web page: the base URL is wrong"}
		}
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		// Without a list of models it has at least not refused the key.
		return nil
	default:
		return refused(resp)
	}
}
