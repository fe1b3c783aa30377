/// `/proc/self/mountinfo`: what is mounted where, on what, and from which file system. Since kernel 2.6.26.
/// See proc_pid_mountinfo(5). `id parent major:minor root directory options tags - type device options`; any number of
/// tags, and fields escaped as in /proc/self/mounts.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.MountInfo

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/self/mountinfo"

let private separator = "-"B

let private isDeviceNumber (field: ReadOnlySpan<byte>) : bool =
    let colon = field.IndexOf ':'B
    let mutable number = 0UL

    colon > 0
    && Text.tryUInt64 (field.Slice(0, colon), &number)
    && Text.tryUInt64 (field.Slice(colon + 1), &number)

/// Reads every mount in the order of the text.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<Mounts.Mount[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let mounts = ResizeArray<Mounts.Mount>()

    while cursor.NextLine() do
        let mutable id = 0UL
        let mutable parent = 0UL

        if not (cursor.UInt64 &id && cursor.UInt64 &parent) then
            faults.Add(cursor.Bad("id", "the numbers of a mount and of its parent"))
        elif not (isDeviceNumber (cursor.Field())) then
            faults.Add(cursor.Bad("device number", "major:minor"))
        else
            let deviceNumber = Text.toString cursor.Last
            let root = Mounts.unescape (cursor.Field())
            let path = Mounts.unescapeBytes (cursor.Field())
            let options = Text.toString (cursor.Field())

            while not (cursor.Field().IsEmpty || cursor.Last.SequenceEqual(ReadOnlySpan separator)) do
                ()

            let fsType = Mounts.unescape (cursor.Field())
            let device = Mounts.unescape (cursor.Field())

            if fsType.Length = 0 then
                faults.Add(cursor.Bad("type", "a hyphen, a file system type and a device"))
            else
                mounts.Add
                    {
                        Device = device
                        MountPoint = Mounts.shown path
                        Path = path
                        FsType = fsType
                        IsReadOnly = Mounts.isReadOnly options || Mounts.isReadOnly (Text.toString (cursor.Field()))
                        Place =
                            ValueSome
                                {
                                    Id = id
                                    Parent = parent
                                    DeviceNumber = deviceNumber
                                    Root = root
                                }
                    }

    faults.AddTorn &cursor
    faults.AroundAny mounts
