/// `/proc/filesystems`: the types the kernel knows, those without a device marked `nodev`.
/// See proc_filesystems(5).
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Filesystems

open System
open System.Collections.Generic
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/filesystems"

/// Reads the types that need a block device: those without `nodev`.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<IReadOnlySet<string>>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let types = HashSet<string>(StringComparer.Ordinal)

    while cursor.NextLine() do
        let first = Text.toString (cursor.Field())

        if first = "nodev" then
            if cursor.Field().IsEmpty then
                faults.Add(cursor.Bad("type", "a file system type after nodev"))
        elif first.Length > 0 then
            types.Add first |> ignore

    faults.AddTorn &cursor
    Ok(faults.Around(types :> IReadOnlySet<string>))

/// Images that are made once and read only: always full, and never to be filled.
let private images = set [ "squashfs"; "iso9660"; "erofs"; "cramfs"; "romfs" ]

/// File systems whose files another machine holds, or the host of a virtual one. Those of FUSE by the name of their program.
let private remote =
    set
        [
            "9p"
            "afs"
            "beegfs"
            "beegfs_nodev"
            "ceph"
            "cifs"
            "fuse.blobfuse"
            "fuse.blobfuse2"
            "fuse.ceph"
            "fuse.ceph-fuse"
            "fuse.cephfs"
            "fuse.daos"
            "fuse.dfuse"
            "fuse.gcsfuse"
            "fuse.geesefs"
            "fuse.glusterfs"
            "fuse.goofys"
            "fuse.hf3fs"
            "fuse.juicefs"
            "fuse.lizardfs"
            "fuse.mfs"
            "fuse.mount-s3"
            "fuse.rclone"
            "fuse.s3fs"
            "fuse.seaweedfs"
            "fuse.sshfs"
            "fuse.JuiceFS"
            "fuse.moosefs"
            "glusterfs"
            "gpfs"
            "lustre"
            "ncpfs"
            "nfs"
            "nfs4"
            "orangefs"
            "panfs"
            "pvfs2"
            "smb3"
            "smbfs"
            "virtiofs"
            "wekafs"
        ]

/// Types that the kernel marks `nodev` because they bring their devices themselves: pools of disks, and flash without a block device, which
/// the root of many a board is.
let private ownDevices = set [ "zfs"; "ubifs"; "jffs2" ]

/// `fuseblk.ntfs` is what fuseblk is.
let private withoutSubtype (fsType: string) : string =
    let words = fsType.Split '.'
    words[0]

/// A snapshot of ZFS, mounted when somebody looks into it, is as full as it was made.
let private isSnapshot (mount: Mounts.Mount) : bool =
    mount.FsType = "zfs" && mount.Device.Contains '@'

let private isOnDisk (types: IReadOnlySet<string>) (mount: Mounts.Mount) : bool =
    (ownDevices.Contains mount.FsType || types.Contains(withoutSubtype mount.FsType))
    && not (images.Contains mount.FsType)
    && not (mount.FsType = "udf" && mount.IsReadOnly)
    && not (isSnapshot mount)

/// The directories above this one, the uppermost first: of `/a/b` they are `/` and `/a`.
let private above (directory: string) : string list =
    [
        if directory <> "/" then
            "/"

            for i in 1 .. directory.Length - 1 do
                if directory[i] = '/' then
                    directory.Substring(0, i)
    ]

/// The mounts from which the way up, from parent to parent, comes back to where it began. The first root of a machine is one: it
/// is mounted on itself.
let private onThemselves (parents: Dictionary<uint64, uint64>) : HashSet<uint64> =
    let found = HashSet<uint64>()
    let walked = HashSet<uint64>()

    for start in parents.Keys do
        let way = HashSet<uint64>()
        let mutable id = start

        while parents.ContainsKey id && walked.Add id do
            way.Add id |> ignore
            id <- parents[id]

        // The way ended outside of what this process sees, where an earlier one went on, or in a circle.
        if way.Contains id then
            while found.Add id do
                id <- parents[id]

    found

/// The mounts that can be seen: nothing is mounted over them or over a directory above them. Without the places of the
/// mounts their order tells, but for the root, which is mounted late on machines that start from a RAM disk.
let private visible (mounts: Mounts.Mount[]) : Mounts.Mount[] =
    let last = Dictionary<string, int>(StringComparer.Ordinal)
    let placed = Dictionary<uint64, Mounts.Mount>()
    let parents = Dictionary<uint64, uint64>()
    let covered = HashSet<struct (uint64 * string)>()

    mounts
    |> Array.iteri (fun index mount ->
        last[mount.MountPoint] <- index

        match mount.Place with
        | ValueSome place ->
            placed[place.Id] <- mount
            parents[place.Id] <- place.Parent
        | ValueNone -> ())

    // What is mounted on itself lies on top of nothing and covers nothing: it is where the ways up end.
    let ends = onThemselves parents

    for mount in mounts do
        match mount.Place with
        | ValueSome place when not (ends.Contains place.Id) -> covered.Add(struct (place.Parent, mount.MountPoint)) |> ignore
        | _ -> ()

    // A parent may lie outside of what this process sees.
    let rec isReached (left: int) (mount: Mounts.Mount) =
        match mount.Place with
        | ValueSome place when left > 0 && not (ends.Contains place.Id) ->
            not (
                above mount.MountPoint
                |> List.exists (fun directory -> covered.Contains(struct (place.Parent, directory)))
            )
            && (match placed.TryGetValue place.Parent with
                | true, parent -> isReached (left - 1) parent
                | _ -> true)
        | _ -> true

    mounts
    |> Array.indexed
    |> Array.filter (fun (index, mount) ->
        match mount.Place with
        | ValueSome place ->
            not (covered.Contains(struct (place.Id, mount.MountPoint)))
            && isReached 100 mount
        | ValueNone ->
            last[mount.MountPoint] = index
            && above mount.MountPoint
               |> List.forall (fun directory ->
                   match last.TryGetValue directory with
                   | true, other -> directory = "/" || other < index
                   | _ -> true))
    |> Array.map snd

/// Of several mounts of one file system the one to name it by: on the root directory, else of the whole, else with the
/// shortest name, else the first.
let private nameable (mounts: Mounts.Mount[]) : Mounts.Mount =
    mounts
    |> Array.minBy (fun mount ->
        let isWhole =
            match mount.Place with
            | ValueSome place -> place.Root = "/"
            | ValueNone -> true

        struct ((if mount.MountPoint = "/" then 0
                 elif isWhole then 1
                 else 2),
                mount.MountPoint.Length))

let private identity (mount: Mounts.Mount) : string =
    match mount.Place with
    | ValueSome place -> place.DeviceNumber
    | ValueNone -> mount.Device

let private select (isWanted: Mounts.Mount -> bool) (mounts: Mounts.Mount[]) : Mounts.Mount[] =
    visible mounts
    |> Array.filter isWanted
    |> Array.groupBy identity
    |> Array.map (fun (_, same) -> nameable same)

/// The file systems that occupy a disk, each once: their type needs a device, or brings its own, as zfs and ubifs do. No images
/// that can only be read, and nothing that is mounted over. What is mounted in several places counts once, by its device
/// number, or by its device where the mounts do not tell that.
[<CompiledName "OnDisk">]
let onDisk (types: IReadOnlySet<string>) (mounts: Mounts.Mount[]) : Mounts.Mount[] = select (isOnDisk types) mounts

/// Directories below which the system keeps what is no storage of its users.
let private ofSystem =
    [|
        "/dev/"
        "/proc/"
        "/run/"
        "/sys/"
        "/mnt/"
        "/media/"
        "/var/lib/docker/"
        "/var/lib/containers/storage/"
    |]

/// The file systems that are kept in memory for users, `/tmp` for example.
[<CompiledName "InMemory">]
let inMemory (mounts: Mounts.Mount[]) : Mounts.Mount[] =
    select
        (fun mount ->
            mount.FsType = "tmpfs"
            && not (
                ofSystem
                |> Array.exists (fun directory -> (mount.MountPoint + "/").StartsWith(directory, StringComparison.Ordinal))
            ))
        mounts

/// The file systems that another machine holds, each once.
[<CompiledName "OverNetwork">]
let overNetwork (mounts: Mounts.Mount[]) : Mounts.Mount[] =
    select (fun mount -> remote.Contains mount.FsType) mounts
