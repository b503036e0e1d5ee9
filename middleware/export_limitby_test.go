package middleware

// SpareKeys returns how many records of keys that have gone a KeyLimiter keeps.
func SpareKeys(l *KeyLimiter) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.spare)
}
