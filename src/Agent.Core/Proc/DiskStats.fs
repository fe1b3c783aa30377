/// `/proc/diskstats`: counters of every block device since it appeared.
/// See Documentation/admin-guide/iostats.rst. 14 columns since kernel 2.6, 18 with discards since 4.18, 20 with flushes
/// since 5.5; partitions had 7 columns before 2.6.25.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.DiskStats

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/diskstats"

/// The counters of one device or partition.
type DiskCounters =
    {
        /// The kernel's name, `nvme0n1`.
        Device: string
        /// Reads completed.
        Reads: uint64
        /// Read from the device.
        ReadBytes: uint64<B>
        /// Writes completed.
        Writes: uint64
        /// Written to the device.
        WrittenBytes: uint64<B>
        /// "Time spent doing I/Os": wall time with at least one request in flight. None for the partitions of kernels
        /// before 2.6.25, which do not count it.
        BusyTime: uint64<ms> voption
    }

/// How long requests of one device took since it appeared; what a sample does not carry.
[<Struct>]
type DiskTimes =
    {
        /// Of all reads together, from queue to end.
        Reading: uint64<ms>
        /// Of all writes together.
        Writing: uint64<ms>
        /// "Weighted time": requests in flight, times the time that they were.
        Weighted: uint64<ms>
    }

/// Everything that one line says.
type DiskLine =
    {
        /// The counters.
        Disk: DiskCounters
        /// How long requests took; none for the partitions of kernels before 2.6.25.
        Times: DiskTimes voption
    }

/// Reads a line of 14 or more columns; the cursor stands after the device's name.
let private readLong (cursor: byref<Cursor>) (device: string) (disk: byref<DiskCounters>) (times: byref<DiskTimes voption>) : bool =
    let mutable reads = 0UL
    let mutable readSectors = 0UL
    let mutable writes = 0UL
    let mutable writtenSectors = 0UL
    let mutable busy = 0UL
    let mutable reading = 0UL
    let mutable writing = 0UL
    let mutable weighted = 0UL
    let mutable other = 0UL

    let good =
        cursor.UInt64 &reads
        && cursor.UInt64 &other // reads merged
        && cursor.UInt64 &readSectors
        && cursor.UInt64 &reading
        && cursor.UInt64 &writes
        && cursor.UInt64 &other // writes merged
        && cursor.UInt64 &writtenSectors
        && cursor.UInt64 &writing
        // "I/Os in progress" has been seen negative on old kernels (RHBZ 1572337), so it is passed over unread.
        && not (cursor.Field().IsEmpty)
        && cursor.UInt64 &busy
        && cursor.UInt64 &weighted

    if good then
        disk <-
            {
                Device = device
                Reads = reads
                ReadBytes = bytesOfSectors (LanguagePrimitives.UInt64WithMeasure readSectors)
                Writes = writes
                WrittenBytes = bytesOfSectors (LanguagePrimitives.UInt64WithMeasure writtenSectors)
                BusyTime = ValueSome(LanguagePrimitives.UInt64WithMeasure busy)
            }

        times <-
            ValueSome
                {
                    Reading = LanguagePrimitives.UInt64WithMeasure reading
                    Writing = LanguagePrimitives.UInt64WithMeasure writing
                    Weighted = LanguagePrimitives.UInt64WithMeasure weighted
                }

    good

/// Reads the four columns that partitions had before kernel 2.6.25.
let private readShort (cursor: byref<Cursor>) (device: string) (disk: byref<DiskCounters>) : bool =
    let mutable reads = 0UL
    let mutable readSectors = 0UL
    let mutable writes = 0UL
    let mutable writtenSectors = 0UL

    let good =
        cursor.UInt64 &reads
        && cursor.UInt64 &readSectors
        && cursor.UInt64 &writes
        && cursor.UInt64 &writtenSectors

    if good then
        disk <-
            {
                Device = device
                Reads = reads
                ReadBytes = bytesOfSectors (LanguagePrimitives.UInt64WithMeasure readSectors)
                Writes = writes
                WrittenBytes = bytesOfSectors (LanguagePrimitives.UInt64WithMeasure writtenSectors)
                BusyTime = ValueNone
            }

    good

let private countFields (line: ReadOnlySpan<byte>) =
    let mutable count = 0
    let mutable inField = false

    for character in line do
        if Text.isBlank character then
            inField <- false
        elif not inField then
            inField <- true
            count <- count + 1

    count

let private counters =
    [|
        "major"
        "minor"
        "device"
        "reads completed"
        "reads merged"
        "sectors read"
        "time reading"
        "writes completed"
        "writes merged"
        "sectors written"
        "time writing"
        "I/Os in progress"
        "time doing I/Os"
        "weighted time"
    |]

let private shortCounters =
    [|
        "major"
        "minor"
        "device"
        "reads"
        "sectors read"
        "writes"
        "sectors written"
    |]

/// Reads a line of 14 or more columns, as every device and partition has had one since 2.6.25; false for any other.
let private tryRead (cursor: byref<Cursor>) (disk: byref<DiskCounters>) (times: byref<DiskTimes voption>) : bool =
    let mutable number = 0UL

    cursor.UInt64 &number
    && cursor.UInt64 &number
    && (let device = cursor.Field()
        not device.IsEmpty && readLong &cursor (Text.toString device) &disk &times)

/// Reads a line that is not of that form: an older one, or one with a fault, which is told.
let private readOther (cursor: byref<Cursor>) (disk: byref<DiskCounters>) (times: byref<DiskTimes voption>) : ParseError voption =
    let columns = countFields cursor.Line
    let names = if columns = 7 then shortCounters else counters
    let mutable number = 0UL

    if columns <> 7 && columns < 14 then
        ValueSome(cursor.Bad("columns", "7, 14 or more columns"))
    elif not (cursor.UInt64 &number && cursor.UInt64 &number) then
        ValueSome(cursor.Bad(names[cursor.Fields - 1], "a device number"))
    else
        let device = Text.toString (cursor.Field())

        let good =
            if columns = 7 then
                readShort &cursor device &disk
            else
                readLong &cursor device &disk &times

        if good then
            ValueNone
        else
            ValueSome(cursor.Bad(names[cursor.Fields - 1], "a whole number"))

/// A parsed line, made into what the caller wants of it; a closure cannot hold the cursor.
let private read (text: ReadOnlySpan<byte>) (keep: DiskCounters -> DiskTimes voption -> 'line) : Result<Parsed<'line[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let lines = ResizeArray<'line>()

    while cursor.NextLine() do
        let mutable again = cursor
        let mutable disk = Unchecked.defaultof<DiskCounters>
        let mutable times = ValueNone

        let fault =
            if tryRead &cursor &disk &times then
                ValueNone
            else
                readOther &again &disk &times

        match fault with
        | ValueSome fault -> faults.Add fault
        | ValueNone -> lines.Add(keep disk times)

    faults.AddTorn &cursor
    faults.AroundAny lines

/// Reads every device and partition in the order of the text. An empty text is a machine without block devices.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<DiskCounters[]>, ParseError> = read text (fun disk _ -> disk)

/// The same with all columns, for rates of what a sample does not carry.
[<CompiledName "ParseLines">]
let parseLines (text: ReadOnlySpan<byte>) : Result<Parsed<DiskLine[]>, ParseError> =
    read text (fun disk times -> { Disk = disk; Times = times })
