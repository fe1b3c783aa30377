/// `llite/*/stats` of Lustre's client, below /proc/fs/lustre or, since version 2.10 and for root alone, /sys/kernel/debug/lustre: what
/// processes asked of one mount. See the Lustre operations manual, "Monitoring client activity". `name count samples [unit] min max sum`,
/// with a unit of bytes, microseconds or, for a mere count, `reqs` or `regs`.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.Lustre

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units

/// One mount since it was mounted, or since the figures were reset.
[<Struct; NoComparison>]
type LliteStats =
    {
        /// Reads, writes and operations on names and metadata.
        Operations: uint64
        /// How long operations took, all together; none where no version tells.
        Time: uint64<us> voption
        /// Read by processes, out of the cache too.
        Read: uint64<B>
        /// Written by processes.
        Written: uint64<B>
    }

let private snapshotName = "snapshot_time"B
let private startName = "start_time"B
let private elapsedName = "elapsed_time"B
let private readName = "read_bytes"B
let private writtenName = "write_bytes"B
let private readingName = "read"B
let private writingName = "write"B
let private samples = "samples"B
let private microseconds = "[usec]"B

let private isTime (name: ReadOnlySpan<byte>) : bool =
    name.SequenceEqual(ReadOnlySpan snapshotName)
    || name.SequenceEqual(ReadOnlySpan startName)
    || name.SequenceEqual(ReadOnlySpan elapsedName)

/// Reads one mount. `source` is the path, for errors.
[<CompiledName "Parse">]
let parse (source: string) (text: ReadOnlySpan<byte>) : Result<LliteStats, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable operations = 0UL
    let mutable time = ValueNone
    let mutable read = 0UL
    let mutable written = 0UL
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let name = cursor.Field()

        if not (name.IsEmpty || isTime name) then
            let mutable count = 0UL
            let mutable sum = 0UL
            let isRead = name.SequenceEqual(ReadOnlySpan readName)
            let isWrite = name.SequenceEqual(ReadOnlySpan writtenName)
            // Since version 2.14 these stand beside read_bytes and write_bytes, and count the same calls.
            let isRepeated =
                name.SequenceEqual(ReadOnlySpan readingName)
                || name.SequenceEqual(ReadOnlySpan writingName)

            if
                not (cursor.UInt64 &count)
                || not (cursor.Field().SequenceEqual(ReadOnlySpan samples))
            then
                failure <- ValueSome(cursor.Bad("samples", "a number of samples"))
            else
                let isTimed = cursor.Field().SequenceEqual(ReadOnlySpan microseconds)
                cursor.SkipField()
                cursor.SkipField()
                let hasSum = cursor.UInt64 &sum

                if not hasSum && not cursor.Last.IsEmpty then
                    failure <- ValueSome(cursor.Bad("sum", "a whole number"))
                else
                    if not isRepeated then
                        operations <- addSaturating operations count

                    if isRead then
                        read <- sum
                    elif isWrite then
                        written <- sum
                    elif isTimed && hasSum then
                        time <- ValueSome(addSaturating (ValueOption.defaultValue 0UL time) sum)

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not cursor.AtEnd || text.IsEmpty -> Error(cursor.NoLine "snapshot_time")
    | ValueNone ->
        Ok
            {
                Operations = operations
                Time = time |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                Read = LanguagePrimitives.UInt64WithMeasure read
                Written = LanguagePrimitives.UInt64WithMeasure written
            }

/// The name of the file system: `scratch` of a directory `scratch-ffff8800a1b2c3d4`, whose other half is the mount's place in the kernel's memory.
let private fileSystemOf (directory: string) : string =
    match directory.LastIndexOf '-' with
    | -1 -> directory
    | at -> directory.Substring(0, at)

/// `scratch` of `mgs@o2ib:/scratch`, and of `mgs@o2ib:/scratch/projects`, where only a directory of it is mounted.
let private mountedOf (device: string) : string =
    match device.LastIndexOf(":/", StringComparison.Ordinal) with
    | -1 -> ""
    | at -> device.Substring(at + 2).Split('/')[0]

/// Where the mount of a directory below llite is mounted. Of several mounts of one file system nothing says which is which: then, and where
/// there is none, the directory's own name.
[<CompiledName "MountPointOf">]
let mountPointOf (mounts: Mounts.Mount[]) (directories: string[]) (directory: string) : string =
    let fileSystem = fileSystemOf directory

    let isAlone =
        directories
        |> Array.forall (fun other -> other = directory || fileSystemOf other <> fileSystem)

    match
        mounts
        |> Array.tryFind (fun mount -> mount.FsType = "lustre" && mountedOf mount.Device = fileSystem)
    with
    | Some mount when isAlone -> mount.MountPoint
    | _ -> directory
