;; Of WASI what the guest of `wasi.rs` uses, in its oldest version 0.2.0.
(import "wasi:io/error@0.2.0" (instance $io-error
    (export "error" (type (sub resource)))))
(alias export $io-error "error" (type $error))
(import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $error'))
    (export "error" (type $error (eq $error')))
    (type $stream-error' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (export "[method]output-stream.write" (func (param "self" (borrow $stream))
        (param "contents" (list u8)) (result (result (error $stream-error)))))))
(alias export $streams "output-stream" (type $stream))
(import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $stream (type $stream'))
    (export "output-stream" (type $stream (eq $stream')))
    (export "get-stderr" (func (result (own $stream))))))
(import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))
(import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))))
(import "wasi:clocks/wall-clock@0.2.0" (instance $wall-clock
    (type $datetime' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime')))
    (export "now" (func (result $datetime)))))
(import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic-clock
    (alias outer 1 $pollable (type $pollable'))
    (export "pollable" (type $pollable (eq $pollable')))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
(import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-u64" (func (result u64)))))
(import "wasi:filesystem/types@0.2.0" (instance $files
    (export "descriptor" (type (sub resource)))))
(alias export $files "descriptor" (type $descriptor-of-file))
(import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor-of-file (type $descriptor'))
    (export "descriptor" (type $descriptor (eq $descriptor')))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
(import "wasi:sockets/network@0.2.0" (instance $network
    (export "network" (type (sub resource)))
    (type $error-code' (enum "unknown" "access-denied" "not-supported" "invalid-argument"
        "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block"
        "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
        "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
        "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
        "permanent-resolver-failure"))
    (export "error-code" (type (eq $error-code')))
    (type $family' (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $family')))))
(alias export $network "network" (type $network-resource))
(alias export $network "error-code" (type $error-code))
(alias export $network "ip-address-family" (type $family))
(import "wasi:sockets/instance-network@0.2.0" (instance $instance-network
    (alias outer 1 $network-resource (type $network'))
    (export "network" (type $network (eq $network')))
    (export "instance-network" (func (result (own $network))))))
(import "wasi:sockets/tcp@0.2.0" (instance $tcp
    (export "tcp-socket" (type (sub resource)))))
(alias export $tcp "tcp-socket" (type $tcp-socket))
(import "wasi:sockets/udp@0.2.0" (instance $udp
    (export "udp-socket" (type (sub resource)))))
(alias export $udp "udp-socket" (type $udp-socket))
(import "wasi:sockets/tcp-create-socket@0.2.0" (instance $tcp-create
    (alias outer 1 $tcp-socket (type $socket'))
    (export "tcp-socket" (type $socket (eq $socket')))
    (alias outer 1 $error-code (type $error-code'))
    (export "error-code" (type $error-code (eq $error-code')))
    (alias outer 1 $family (type $family'))
    (export "ip-address-family" (type $family (eq $family')))
    (export "create-tcp-socket" (func (param "address-family" $family)
        (result (result (own $socket) (error $error-code)))))))
(import "wasi:sockets/udp-create-socket@0.2.0" (instance $udp-create
    (alias outer 1 $udp-socket (type $socket'))
    (export "udp-socket" (type $socket (eq $socket')))
    (alias outer 1 $error-code (type $error-code'))
    (export "error-code" (type $error-code (eq $error-code')))
    (alias outer 1 $family (type $family'))
    (export "ip-address-family" (type $family (eq $family')))
    (export "create-udp-socket" (func (param "address-family" $family)
        (result (result (own $socket) (error $error-code)))))))
(import "wasi:sockets/ip-name-lookup@0.2.0" (instance $lookup
    (alias outer 1 $network-resource (type $network'))
    (export "network" (type $network (eq $network')))
    (alias outer 1 $error-code (type $error-code'))
    (export "error-code" (type $error-code (eq $error-code')))
    (export "resolve-address-stream" (type $addresses (sub resource)))
    (export "resolve-addresses" (func (param "network" (borrow $network)) (param "name" string)
        (result (result (own $addresses) (error $error-code)))))))
