package connect

import "strings"

// severalRedis says whether a URL is for NewGR as it is: several hosts, a cluster or sentinels.
func (o *Options) severalRedis(address string) bool {
	isRedis := strings.HasPrefix(address, "redis://") || strings.HasPrefix(address, "rediss://")
	return isRedis && (strings.Contains(address, ",") || o.Cluster || o.MasterName != "")
}

// redisHosts is what v1's BrokerFactory makes of such a URL: everything after the scheme, split at commas.
func redisHosts(address string) []string {
	_, hosts, _ := strings.Cut(address, "://")
	return strings.Split(hosts, ",")
}
