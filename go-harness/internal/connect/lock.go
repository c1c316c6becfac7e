package connect

import (
	"github.com/RichardKnop/machinery/v1/config"
	eagerv1 "github.com/RichardKnop/machinery/v1/locks/eager"
	ifacev1 "github.com/RichardKnop/machinery/v1/locks/iface"
	redisv1 "github.com/RichardKnop/machinery/v1/locks/redis"
	configv2 "github.com/RichardKnop/machinery/v2/config"
	eagerv2 "github.com/RichardKnop/machinery/v2/locks/eager"
	ifacev2 "github.com/RichardKnop/machinery/v2/locks/iface"
	redisv2 "github.com/RichardKnop/machinery/v2/locks/redis"
)

const (
	eagerLock = "eager"
	// What v1's factory gives the lock.
	lockRetries = 3
)

func (o *Options) lockV1(cnf *config.Config) (ifacev1.Lock, error) {
	if o.Lock == eagerLock {
		return eagerv1.New(), nil
	}
	address, err := ParseRedis(o.Lock)
	if err != nil {
		return nil, err
	}
	return redisv1.New(cnf, []string{address.address()}, address.DB, lockRetries), nil
}

func (o *Options) lockV2(cnf *configv2.Config) (ifacev2.Lock, error) {
	if o.Lock == eagerLock {
		return eagerv2.New(), nil
	}
	address, err := ParseRedis(o.Lock)
	if err != nil {
		return nil, err
	}
	return redisv2.New(cnf, []string{address.address()}, address.DB, lockRetries), nil
}
