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
        /// The directory, as the process that reads sees it.
        MountPoint: string
        /// The type, `ext4`.
        FsType: string
        /// True for option `ro`.
        IsReadOnly: bool
        /// Where it stands among the others; none where that was not told.
        Place: MountPlace voption
    }

let private isOctal (b: byte) = b >= '0'B && b <= '7'B

/// Replaces `\040` and its like by the byte they stand for; anything else after a backslash stays as it is.
let internal unescape (field: ReadOnlySpan<byte>) : string =
    if field.IndexOf '\\'B < 0 then
        Text.toString field
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

        Encoding.UTF8.GetString(bytes.ToArray())

/// True when a list such as `ro,relatime` begins with ro, which stands first.
let internal isReadOnly (options: string) : bool =
    options = "ro" || options.StartsWith("ro,", StringComparison.Ordinal)

/// True if a mount of LXC covers /proc/meminfo: that file then describes the container, while other files of /proc describe its host.
[<CompiledName "HasContainedMemInfo">]
let hasContainedMemInfo (mounts: Mount[]) : bool =
    mounts
    |> Array.exists (fun mount ->
        mount.FsType = "fuse.lxcfs"
        && mount.MountPoint.EndsWith("/meminfo", StringComparison.Ordinal))

/// Reads every mount in the order of the text; a later mount on the same directory hides the earlier one.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<Mount[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let mounts = ResizeArray<Mount>()

    while cursor.NextLine() do
        let device = unescape (cursor.Field())
        let mountPoint = unescape (cursor.Field())
        let fsType = unescape (cursor.Field())

        if fsType.Length = 0 then
            faults.Add(cursor.Bad("type", "a device, a directory and a file system type"))
        else
            mounts.Add
                {
                    Device = device
                    MountPoint = mountPoint
                    FsType = fsType
                    IsReadOnly = isReadOnly (Text.toString (cursor.Field()))
                    Place = ValueNone
                }

    faults.AddTorn &cursor
    faults.AroundAny mounts
