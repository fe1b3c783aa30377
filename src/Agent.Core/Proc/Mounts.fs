/// `/proc/self/mounts`: what is mounted where.
/// See proc_pid_mounts(5) and fstab(5). Blanks, line ends and backslashes in a field are written as three octal digits
/// after a backslash.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Mounts

open System
open System.Text
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/self/mounts"

/// Where a mount stands among the others, which /proc/self/mountinfo alone tells.
[<NoComparison>]
type MountPlace =
    {
        /// The mount's number.
        Id: uint64
        /// The number of the mount that it is mounted on.
        Parent: uint64
        /// `major:minor` of the file system, equal for all its mounts, the subvolumes of btrfs included.
        DeviceNumber: string
        /// Which directory of the file system is seen: `/`, or another one for a bind mount.
        Root: string
    }

/// One mounted file system.
[<NoComparison>]
type Mount =
    {
        /// The device or remote name, `/dev/nvme0n1p2`.
        Device: string
        /// The directory, as the process that reads sees it. Names are bytes; one that is not UTF-8 is written as `\xe9`.
        MountPoint: string
        /// The bytes of the directory's name, which system calls want.
        Path: byte[]
        /// The type, `ext4`.
        FsType: string
        /// True for option `ro`.
        IsReadOnly: bool
        /// Where it stands among the others; none where that was not told.
        Place: MountPlace voption
    }

let private isOctal (b: byte) = b >= '0'B && b <= '7'B

/// Replaces `\040` and its like by the byte they stand for; anything else after a backslash stays as it is.
let internal unescapeBytes (field: ReadOnlySpan<byte>) : byte[] =
    if field.IndexOf '\\'B < 0 then
        field.ToArray()
    else
        let bytes = ResizeArray<byte>(field.Length)
        let mutable i = 0

        while i < field.Length do
            if
                field[i] = '\\'B
                && i + 3 < field.Length
                && field[i + 1] <= '3'B
                && isOctal field[i + 1]
                && isOctal field[i + 2]
                && isOctal field[i + 3]
            then
                let digit offset (text: byte) = int (text - '0'B) <<< offset
                bytes.Add(byte (digit 6 field[i + 1] + digit 3 field[i + 2] + digit 0 field[i + 3]))
                i <- i + 4
            else
                bytes.Add field[i]
                i <- i + 1

        bytes.ToArray()

/// The text of a name, which the kernel takes for bytes: what is no UTF-8 in it is written as `\xe9`, so that names stay different.
let internal shown (name: byte[]) : string =
    if Unicode.Utf8.IsValid(ReadOnlySpan name) then
        Encoding.UTF8.GetString name
    else
        let text = StringBuilder()
        let mutable at = 0

        while at < name.Length do
            let mutable rune = Rune()
            let mutable length = 0

            if Rune.DecodeFromUtf8(ReadOnlySpan(name, at, name.Length - at), &rune, &length) = Buffers.OperationStatus.Done then
                text.Append(rune.ToString()) |> ignore
            else
                for i in at .. at + length - 1 do
                    text.Append("\\x").Append(name[i].ToString "x2") |> ignore

            at <- at + length

        text.ToString()

/// The text of a field with its escapes replaced.
let internal unescape (field: ReadOnlySpan<byte>) : string = shown (unescapeBytes field)

/// True when a list such as `ro,relatime` begins with ro, which stands first.
let internal isReadOnly (options: string) : bool =
    options = "ro" || options.StartsWith("ro,", StringComparison.Ordinal)

let private isContained (file: string) (mounts: Mount[]) : bool =
    mounts
    |> Array.exists (fun mount ->
        mount.FsType = "fuse.lxcfs"
        && mount.MountPoint.EndsWith(file, StringComparison.Ordinal))

/// True if a mount of LXC covers /proc/meminfo: that file then describes the container, while other files of /proc describe its host.
[<CompiledName "HasContainedMemInfo">]
let hasContainedMemInfo (mounts: Mount[]) : bool = isContained "/meminfo" mounts

/// The same for /proc/uptime.
[<CompiledName "HasContainedUptime">]
let hasContainedUptime (mounts: Mount[]) : bool = isContained "/uptime" mounts

/// Reads every mount in the order of the text; a later mount on the same directory hides the earlier one.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<Mount[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let mounts = ResizeArray<Mount>()

    while cursor.NextLine() do
        let device = unescape (cursor.Field())
        let path = unescapeBytes (cursor.Field())
        let fsType = unescape (cursor.Field())

        if fsType.Length = 0 then
            faults.Add(cursor.Bad("type", "a device, a directory and a file system type"))
        else
            mounts.Add
                {
                    Device = device
                    MountPoint = shown path
                    Path = path
                    FsType = fsType
                    IsReadOnly = isReadOnly (Text.toString (cursor.Field()))
                    Place = ValueNone
                }

    faults.AddTorn &cursor
    faults.AroundAny mounts
