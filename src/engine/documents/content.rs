//! What stands on page images: words and links in their pixels, and the file about them.

use std::path::Path;

use serde::Serialize;

use crate::catalog::{Asset, Handle, ImageMap, MapAction, PageWord, PixelBox};
use crate::engine::derived;
use crate::error::Result;
use crate::geometry::{Insets, Size};
use crate::rip::{self, LinkTarget, PageContent, Place};

/// The part of a page image that a crop keeps.
pub(super) struct Window {
    pub insets: Option<Insets>,
    /// After the crop.
    pub size: Size,
}

impl Window {
    /// The words of a page that it shows, in pixels of the image.
    pub fn words(&self, content: &PageContent) -> Vec<PageWord> {
        let word = |word: &rip::Word| Some(PageWord { word: word.text.clone(), place: self.clip(word.place)? });
        content.words.iter().filter_map(word).collect()
    }

    /// The links of a page that it shows; `pages` are the images of the document by their numbers, in order.
    pub fn image_maps(&self, content: &PageContent, pages: &[(u32, Handle)]) -> Vec<ImageMap> {
        content.links.iter().filter_map(|link| self.image_map(link, pages)).collect()
    }

    fn clip(&self, place: Place) -> Option<PixelBox> {
        let (left, top) = self.insets.map_or((0, 0), |insets| (insets.left, insets.top));
        let across = |x: u32| x.saturating_sub(left).min(self.size.width);
        let down = |y: u32| y.saturating_sub(top).min(self.size.height);
        let clipped = PixelBox {
            left: across(place.left),
            top: down(place.top),
            right: across(place.right),
            bottom: down(place.bottom),
        };
        (clipped.left < clipped.right && clipped.top < clipped.bottom).then_some(clipped)
    }

    /// `None` for a link outside, or to a page that has no image.
    fn image_map(&self, link: &rip::Link, pages: &[(u32, Handle)]) -> Option<ImageMap> {
        let action = match &link.target {
            LinkTarget::Uri(uri) => MapAction::Uri(uri.clone()),
            LinkTarget::Page(number) => {
                let index = pages.binary_search_by_key(number, |(number, _)| *number).ok()?;
                MapAction::Asset(pages[index].1.clone())
            }
        };
        Some(ImageMap { place: self.clip(link.place)?, action })
    }
}

/// What is written beside the catalog about a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DocumentFile<'a> {
    asset_handle: &'a Handle,
    name: &'a str,
    e_catalog: bool,
    pages: Vec<PageEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageEntry<'a> {
    asset_handle: &'a Handle,
    name: &'a str,
    number: u32,
    width: u32,
    height: u32,
    words: &'a [PageWord],
    image_maps: &'a [ImageMap],
}

/// A page image with what stands on it, drawn now or kept.
pub(super) struct PageView<'a> {
    pub number: u32,
    pub asset: &'a Asset,
    /// After the crop.
    pub size: Size,
    pub words: &'a [PageWord],
    pub image_maps: &'a [ImageMap],
}

/// Writes what is known of the pages of `asset` to `path`.
pub(super) fn write(path: &Path, asset: &Asset, e_catalog: bool, pages: &[PageView]) -> Result<()> {
    let document = DocumentFile {
        asset_handle: &asset.handle,
        name: &asset.name,
        e_catalog,
        pages: pages
            .iter()
            .map(|page| PageEntry {
                asset_handle: &page.asset.handle,
                name: &page.asset.name,
                number: page.number,
                width: page.size.width,
                height: page.size.height,
                words: page.words,
                image_maps: page.image_maps,
            })
            .collect(),
    };
    derived::write_json(path, &document)
}
