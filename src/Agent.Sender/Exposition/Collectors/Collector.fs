namespace Agent.Sender

open System
open System.Collections.Generic
open Agent.Core.Units
open Agent.Outbound

/// Where a file lies.
[<RequireQualifiedAccess; Struct>]
type FileRoot =
    /// Below /proc.
    | Proc
    /// Below /proc/net.
    | Net
    /// Below /sys.
    | Sys
    /// Below /proc/self of this program.
    | Own
    /// No file: what a system call answers, as bytes, by its name.
    | Call
    /// The chips below /sys/class/hwmon: `name`, the files of sensors, and `device`, whose text is where that link leads. The name of such a text
    /// is the chip's directory.
    | Sensors
    /// The files `*.prom` of `--textfile-directory`. The names of such a text are its path and when it was written, in seconds since 1970; that is empty for one that cannot be read.
    | Textfile

/// Files of one directory, or of all directories of a shape.
[<NoComparison; NoEquality>]
type FileSet =
    {
        /// What it lies below.
        Root: FileRoot
        /// The directory below the root, `sys/fs` or `class/net/*`; empty for the root itself. A `*` stands for every name.
        Directory: string
        /// The files, by their paths below the directory.
        Files: string[]
        /// Further files there, which say the same for hours, or something new only when one of the others does. For a scrape they are read as
        /// the others are; for samples that are pushed once a minute, and when one of the others has changed.
        Steady: string[]
    }

    static member private Of(root: FileRoot, directory: string, files: string[]) : FileSet =
        {
            Root = root
            Directory = directory
            Files = files
            Steady = [||]
        }

    /// Files below /proc.
    static member internal Proc(directory: string, files: string[]) : FileSet =
        FileSet.Of(FileRoot.Proc, directory, files)

    /// Files below /proc/net.
    static member internal Net(directory: string, files: string[]) : FileSet =
        FileSet.Of(FileRoot.Net, directory, files)

    /// Files below /proc/self of this program.
    static member internal Own(files: string[]) : FileSet = FileSet.Of(FileRoot.Own, "", files)

    /// What system calls answer.
    static member internal Call(name: string) : FileSet =
        FileSet.Of(FileRoot.Call, "", [| name |])

    /// The sensor chips.
    static member internal Sensors: FileSet = FileSet.Of(FileRoot.Sensors, "", [||])

    /// The files that other programs leave.
    static member internal Textfiles: FileSet = FileSet.Of(FileRoot.Textfile, "", [||])

    /// Files below /sys.
    static member internal Sys(directory: string, files: string[]) : FileSet =
        FileSet.Of(FileRoot.Sys, directory, files)

    /// With these files that hardly ever change.
    member internal set.And(steady: string[]) : FileSet = { set with Steady = steady }

/// A file as it was read. The bytes count until its collector is read again.
[<NoComparison; NoEquality>]
type FileText =
    {
        /// What the stars of its directory stand for, from left to right.
        Names: string[]
        /// Its path below the directory.
        File: string
        /// What it says.
        Text: ReadOnlyMemory<byte>
    }

/// What the figures of files depend on besides them.
[<NoComparison>]
type internal CollectorFacts =
    {
        /// The size of a page of memory.
        PageSize: uint64<B>
        /// The interfaces to export; empty for all.
        Interfaces: string[]
        /// When the machine started, in seconds since 1970; none where that is not known.
        BootTime: float voption
    }

/// A metric family: what all its samples have in common.
[<NoComparison; ReferenceEquality>]
type internal Family =
    {
        Name: string
        Kind: MetricKind
        Help: string
        /// The names of its labels.
        Labels: string[]
    }

[<RequireQualifiedAccess>]
module internal Family =
    let private none: string[] = [||]

    let labelled labels kind name help : Family =
        {
            Name = name
            Kind = kind
            Help = help
            Labels = labels
        }

    let gauge name help =
        labelled none MetricKind.Gauge name help

    let counter name help =
        labelled none MetricKind.Counter name help

    let untyped name help =
        labelled none MetricKind.Untyped name help

/// One sample of a family.
[<NoComparison; ReferenceEquality>]
type internal Figure =
    {
        Family: Family
        /// The values of its labels, in the order of their names.
        Labels: string[]
        Value: float
    }

/// Series are the same when the names of their families are, and the values of their labels.
[<Sealed>]
type internal BySeries private () =
    /// The only one.
    static member val Instance = BySeries()

    interface IEqualityComparer<Figure> with
        member _.Equals(one, other) =
            match one, other with
            | NonNull one, NonNull other ->
                let mutable same =
                    String.Equals(one.Family.Name, other.Family.Name)
                    && one.Labels.Length = other.Labels.Length

                let mutable i = 0

                while same && i < one.Labels.Length do
                    same <-
                        String.Equals(one.Labels[i], other.Labels[i])
                        && String.Equals(one.Family.Labels[i], other.Family.Labels[i])

                    i <- i + 1

                same
            | _ -> false

        member _.GetHashCode figure =
            let mutable hash = HashCode()
            hash.Add(figure.Family.Name.GetHashCode StringComparison.Ordinal)

            for label in figure.Labels do
                hash.Add(label.GetHashCode StringComparison.Ordinal)

            hash.ToHashCode()

/// Receives the samples of many families, in any order.
[<AbstractClass>]
type internal Figures() =
    /// Adds a sample, with the values of its family's labels.
    abstract Add: family: Family * labels: string[] * value: float -> unit

    /// Adds the sample of a family without labels.
    member figures.Add(family: Family, value: float) : unit =
        figures.Add(family, family.Labels, value)

/// Tells a sink at once, one that does not care for order and repetition.
[<Sealed>]
type internal ToldFigures(sink: MetricSink) =
    inherit Figures()

    override _.Add(family, labels, value) =
        sink.Family(family.Name, family.Kind, family.Help)

        for i in 0 .. labels.Length - 1 do
            sink.Label(family.Labels[i], labels[i])

        sink.Value value

/// Gathers samples by family. Each series is kept once: of a text that repeats one, the first counts.
[<Sealed>]
type internal GroupedFigures() =
    inherit Figures()

    let families = List<List<Figure>>()
    let byName = Dictionary<string, List<Figure>>(StringComparer.Ordinal)
    let series = HashSet<Figure>(BySeries.Instance)

    override _.Add(family, labels, value) =
        let figure =
            {
                Family = family
                Labels = labels
                Value = value
            }

        if series.Add figure then
            match byName.TryGetValue family.Name with
            | true, figures -> figures.Add figure
            | _ ->
                let figures = List<Figure>()
                figures.Add figure
                byName[family.Name] <- figures
                families.Add figures

    /// What was added, family by family.
    member _.Families: List<List<Figure>> = families

    /// Tells a sink, family by family.
    member _.WriteTo(sink: MetricSink) : unit =
        for figures in families do
            let family = figures[0].Family
            sink.Family(family.Name, family.Kind, family.Help)

            for figure in figures do
                for i in 0 .. figure.Labels.Length - 1 do
                    sink.Label(figure.Family.Labels[i], figure.Labels[i])

                sink.Value figure.Value

/// A group of families that come from the same files, by the name that node_exporter's collector has.
[<Sealed>]
type Collector
    internal (name: string, isDefault: bool, sets: FileSet[], tell: CollectorFacts -> FileText[] -> Figures -> unit, ?mayBeEmpty: bool) =
    /// `netstat`.
    member _.Name: string = name

    /// True when it is read unless the user says otherwise.
    member _.IsDefault: bool = isDefault

    /// What it reads.
    member _.Sets: FileSet[] = sets

    /// True when a machine without its files is one on which all is well.
    member internal _.MayBeEmpty: bool = defaultArg mayBeEmpty false

    /// What the files say.
    member internal _.Tell (facts: CollectorFacts) (texts: FileText[]) (figures: Figures) : unit = tell facts texts figures

/// What one collector read.
[<NoComparison; NoEquality>]
type CollectorReading =
    {
        /// Whose files these are.
        Collector: Collector
        /// Those that could be read.
        Texts: FileText[]
        /// What reading took.
        Took: TimeSpan
    }
