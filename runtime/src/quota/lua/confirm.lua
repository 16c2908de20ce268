-- What a message reserved is final. KEYS: the daemon's open reservations. ARGV: name.
return redis.call('HDEL', KEYS[1], ARGV[1])
