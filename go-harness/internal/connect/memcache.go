package connect

import (
	"strings"

	backends "github.com/RichardKnop/machinery/v2/backends/iface"
	"github.com/RichardKnop/machinery/v2/backends/memcache"
	"github.com/RichardKnop/machinery/v2/config"
)

const memcacheScheme = "memcache://"

func isMemcache(address string) bool { return strings.HasPrefix(address, memcacheScheme) }

// memcacheV2 takes the address apart as v1's factory does it.
func memcacheV2(cnf *config.Config) backends.Backend {
	return memcache.New(cnf, strings.Split(strings.TrimPrefix(cnf.ResultBackend, memcacheScheme), ","))
}
