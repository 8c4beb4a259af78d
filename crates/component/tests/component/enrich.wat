;; The core function `enrich` as the function of the interface.
(type $enrich-row (record (field "value" (list u8)) (field "timestamp" (option s64))
    (field "key" (option (list u8)))))
(type $not-enriched
    (variant (case "refused" string) (case "failed" string) (case "fatal" string)))
(func $enrich (param "row" $enrich-row)
    (result (result (list $emitted) (error $not-enriched)))
    (canon lift (core func $guest "enrich") (memory (core memory $libc "memory"))
        (realloc (core func $libc "realloc"))))
(instance $enrich
    (export "row" (type $enrich-row))
    (export "not-enriched" (type $not-enriched))
    (export "enrich" (func $enrich)))
(export "weir:operator/enrich@0.1.0" (instance $enrich))
