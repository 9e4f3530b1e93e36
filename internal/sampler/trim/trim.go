// Package trim gives back the memory that only the start of a process needed.
package trim

import "runtime/debug"

// Start gives back what the start needed and nobody uses any more: free memory of
// the heap, and the pages of the program itself. The clients of model APIs bring
// much code that runs once, or never where a policy names no such provider; the
// kernel would keep all that was touched for as long as memory is plenty.
//
// What is needed again is read again, from the kernel's cache of the file.
func Start() error {
	debug.FreeOSMemory()
	return dropProgram()
}
