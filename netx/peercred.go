package netx

// Cred is who the process at the other end of a unix socket was when it
// connected, or called listen. PID is as seen from this process's namespace,
// and 0 when it is not visible there.
type Cred struct{ PID, UID, GID int }
