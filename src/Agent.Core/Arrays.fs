namespace Agent.Core

/// What FSharp.Core has too, in less code.
[<AutoOpen>]
module internal Arrays =
    [<RequireQualifiedAccess>]
    module Array =
        /// The elements for which the function holds, in their order. FSharp.Core's own is unrolled for speed: the executable had 6 KB of it for each
        /// kind of struct that somebody picks from, 54 KB in all.
        let filter (isWanted: 'element -> bool) (all: 'element[]) : 'element[] =
            let wanted = Array.zeroCreate all.Length
            let mutable count = 0

            for one in all do
                if isWanted one then
                    wanted[count] <- one
                    count <- count + 1

            Array.sub wanted 0 count
