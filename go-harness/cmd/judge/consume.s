// A file of assembly lets functions of this package have no body: consumeOneV1 and consumeOneV2 are Machinery's own.
