// Package release holds the tests of what `make release` makes: that it is whole,
// that its parts name each other by the right checksums, and that making it again
// elsewhere gives the same bytes.
package release
