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

/// Requests of one kind beside reads and writes: discards, since kernel 4.18.
[<Struct; NoComparison>]
type Discards =
    {
        /// Discards completed.
        Completed: uint64
        /// Discards merged.
        Merged: uint64
        /// Sectors discarded.
        Sectors: uint64<sector>
        /// Time that all discards took together.
        Time: uint64<ms>
    }

/// Flush requests, since kernel 5.5.
[<Struct; NoComparison>]
type Flushes =
    {
        /// Flushes completed.
        Completed: uint64
        /// Time that all flushes took together.
        Time: uint64<ms>
    }

/// The columns that a sample does not carry.
[<Struct; NoComparison>]
type DiskDetail =
    {
        /// Reads merged with others before they were queued.
        ReadsMerged: uint64
        /// Time that all reads took together, from the queue to the end.
        ReadTime: uint64<ms>
        /// Writes merged.
        WritesMerged: uint64
        /// Time that all writes took together.
        WriteTime: uint64<ms>
        /// Requests in flight. Old kernels let it fall below zero (RHBZ 1572337), which is then 0.
        InFlight: uint64
        /// Time weighted by the requests in flight: its growth over time is the mean length of the queue.
        WeightedTime: uint64<ms>
        /// Discards; none before kernel 4.18.
        Discards: Discards voption
        /// Flushes; none before kernel 5.5, and for partitions.
        Flushes: Flushes voption
    }

/// The counters of one device or partition.
[<NoComparison>]
type DiskCounters =
    {
        /// The kernel's name, `nvme0n1`.
        Device: string
        /// Reads completed; none where the kernel has been told not to count, as of all that follow.
        Reads: uint64 voption
        /// Read from the device.
        ReadBytes: uint64<B> voption
        /// Writes completed.
        Writes: uint64 voption
        /// Written to the device.
        WrittenBytes: uint64<B> voption
        /// "Time spent doing I/Os": wall time with at least one request in flight. None for the partitions of kernels
        /// before 2.6.25, which do not count it.
        BusyTime: uint64<ms> voption
        /// The other columns; none for the partitions of kernels before 2.6.25, and where they were not kept.
        Detail: DiskDetail voption
    }

/// A whole number, or 0 for what is none; false where the line has ended.
let private readInFlight (cursor: byref<Cursor>) (inFlight: byref<uint64>) : bool =
    let field = cursor.Field()

    if not (Text.tryUInt64 (field, &inFlight)) then
        inFlight <- 0UL

    not field.IsEmpty

/// Reads the four columns that came with kernel 4.18.
let private readDiscards (cursor: byref<Cursor>) : Discards voption =
    let mutable completed = 0UL
    let mutable merged = 0UL
    let mutable sectors = 0UL
    let mutable time = 0UL

    if
        cursor.UInt64 &completed
        && cursor.UInt64 &merged
        && cursor.UInt64 &sectors
        && cursor.UInt64 &time
    then
        ValueSome
            {
                Completed = completed
                Merged = merged
                Sectors = LanguagePrimitives.UInt64WithMeasure sectors
                Time = LanguagePrimitives.UInt64WithMeasure time
            }
    else
        ValueNone

/// Reads the two columns that came with kernel 5.5.
let private readFlushes (cursor: byref<Cursor>) : Flushes voption =
    let mutable completed = 0UL
    let mutable time = 0UL

    if cursor.UInt64 &completed && cursor.UInt64 &time then
        ValueSome
            {
                Completed = completed
                Time = LanguagePrimitives.UInt64WithMeasure time
            }
    else
        ValueNone

/// Reads a line of 14 or more columns; the cursor stands after the device's name.
let private readLong (cursor: byref<Cursor>) (device: string) (disk: byref<DiskCounters>) : bool =
    let mutable reads = 0UL
    let mutable readsMerged = 0UL
    let mutable readSectors = 0UL
    let mutable readTime = 0UL
    let mutable writes = 0UL
    let mutable writesMerged = 0UL
    let mutable writtenSectors = 0UL
    let mutable writeTime = 0UL
    let mutable inFlight = 0UL
    let mutable busy = 0UL
    let mutable weighted = 0UL

    let good =
        cursor.UInt64 &reads
        && cursor.UInt64 &readsMerged
        && cursor.UInt64 &readSectors
        && cursor.UInt64 &readTime
        && cursor.UInt64 &writes
        && cursor.UInt64 &writesMerged
        && cursor.UInt64 &writtenSectors
        && cursor.UInt64 &writeTime
        && readInFlight &cursor &inFlight
        && cursor.UInt64 &busy
        && cursor.UInt64 &weighted

    if good then
        let discards = readDiscards &cursor
        let flushes = readFlushes &cursor

        disk <-
            {
                Device = device
                Reads = ValueSome reads
                ReadBytes = ValueSome(bytesOfSectors (LanguagePrimitives.UInt64WithMeasure readSectors))
                Writes = ValueSome writes
                WrittenBytes = ValueSome(bytesOfSectors (LanguagePrimitives.UInt64WithMeasure writtenSectors))
                BusyTime = ValueSome(LanguagePrimitives.UInt64WithMeasure busy)
                Detail =
                    ValueSome
                        {
                            ReadsMerged = readsMerged
                            ReadTime = LanguagePrimitives.UInt64WithMeasure readTime
                            WritesMerged = writesMerged
                            WriteTime = LanguagePrimitives.UInt64WithMeasure writeTime
                            InFlight = inFlight
                            WeightedTime = LanguagePrimitives.UInt64WithMeasure weighted
                            Discards = discards
                            Flushes = flushes
                        }
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
                Reads = ValueSome reads
                ReadBytes = ValueSome(bytesOfSectors (LanguagePrimitives.UInt64WithMeasure readSectors))
                Writes = ValueSome writes
                WrittenBytes = ValueSome(bytesOfSectors (LanguagePrimitives.UInt64WithMeasure writtenSectors))
                BusyTime = ValueNone
                Detail = ValueNone
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
let private tryRead (cursor: byref<Cursor>) (disk: byref<DiskCounters>) : bool =
    let mutable number = 0UL

    cursor.UInt64 &number
    && cursor.UInt64 &number
    && (let device = cursor.Field()
        not device.IsEmpty && readLong &cursor (Text.toString device) &disk)

/// Reads a line that is not of that form: an older one, or one with a fault, which is told.
let private readOther (cursor: byref<Cursor>) (disk: byref<DiskCounters>) : ParseError voption =
    let columns = countFields cursor.Line
    let names = if columns = 7 then shortCounters else counters
    let mutable number = 0UL

    // Whose line it is: the third field, if that far it is one.
    let mutable named = cursor
    let _ = named.Field()
    let _ = named.Field()
    let device = Text.excerpt (named.Field())

    let ofDevice (column: string) =
        if device = "" then column else $"{column} of {device}"

    if columns <> 7 && columns < 14 then
        ValueSome(cursor.Bad(ofDevice "columns", "7, 14 or more columns"))
    elif not (cursor.UInt64 &number && cursor.UInt64 &number) then
        ValueSome(cursor.Bad(ofDevice names[cursor.Fields - 1], "a device number"))
    else
        let device = Text.toString (cursor.Field())

        let good =
            if columns = 7 then
                readShort &cursor device &disk
            else
                readLong &cursor device &disk

        if good then
            ValueNone
        else
            ValueSome(cursor.Bad(ofDevice names[cursor.Fields - 1], "a whole number"))

/// Reads every device and partition in the order of the text. An empty text is a machine without block devices.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<DiskCounters[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let disks = ResizeArray<DiskCounters>()

    while cursor.NextLine() do
        let mutable again = cursor
        let mutable disk = Unchecked.defaultof<DiskCounters>

        let fault =
            if tryRead &cursor &disk then
                ValueNone
            else
                readOther &again &disk

        match fault with
        | ValueSome fault -> faults.Add fault
        | ValueNone -> disks.Add disk

    faults.AddTorn &cursor
    faults.AroundAny disks
