package peers

import "syscall"

// endWithParent lets the kernel end a child whose test was killed.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
