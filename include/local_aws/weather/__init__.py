"""What local AWS does on request as AWS does it: answer from a stale state, throttle, return empty pages."""
